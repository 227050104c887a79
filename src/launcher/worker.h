// Short-lived children of the launcher for work that takes longer than the event loop may stand still: making a tree
// readable, removing one, giving a zygote huge pages. They die with the launcher and have its privilege.
#pragma once

#include <functional>
#include <unordered_map>

#include "base/result.h"
#include "launcher/poller.h"
#include "os/fd.h"

namespace ebb::launcher {

class Workers {
 public:
  using Work = std::function<int()>;            // in the child; its result is the exit status
  using Done = std::function<void(bool fine)>;  // in the launcher, when the child has ended; fine: with status 0

  explicit Workers(Poller& poller) : poller_(poller) {}
  /// Kills and reaps those that still run; their `done` is not called.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  base::Result<> start(const Work& work, Done done);

 private:
  void ended(int fd, const Done& done);

  Poller& poller_;
  std::unordered_map<int, os::Fd> running_;
};

}  // namespace ebb::launcher
