// One daemon's requests, from bytes to Fleet and Builds. The daemon is not trusted: whatever it sends is answered or
// refused.
#pragma once

#include <cstdint>
#include <vector>

#include "launcher/builds.h"
#include "launcher/daemon_link.h"
#include "launcher/fleet.h"
#include "launcher/memory_watch.h"
#include "wire/message.h"

namespace ebb::launcher {

class Requests {
 public:
  Requests(const Ground& ground, os::Fd socket);
  ~Requests();
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  /// False when the daemon's socket has failed or broken the protocol beyond answering: the daemon is to be killed.
  bool sound() const { return sound_ && !daemon_.broken(); }
  /// Kills every sandbox and build; empty() becomes true while the poller turns.
  void kill_all();
  bool empty() const { return fleet_.empty() && builds_.empty(); }
  bool one_app_floods() const { return fleet_.one_app_floods(); }

 private:
  void on_readable();
  base::Result<> perform(const wire::Message& message, std::vector<os::Fd>& fds);

  Poller& poller_;
  Network& network_;
  DaemonLink daemon_;
  Fleet fleet_;
  Builds builds_;
  MemoryWatch memory_watch_;
  bool sound_ = true;
};

}  // namespace ebb::launcher
