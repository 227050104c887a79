// The launcher's end of the daemon's socket: requests in, answers and events out (wire/launcher_protocol.h).
//
// Sending never waits: what the socket does not take at once is kept in order, up to limits::kAnswersWaiting, and
// offered again shortly; a daemon that lets it grow beyond that is broken, and `broken()` says so.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/result.h"
#include "launcher/poller.h"
#include "os/fd.h"
#include "os/seqpacket.h"
#include "wire/launcher_protocol.h"

namespace ebb::launcher {

class DaemonLink {
 public:
  DaemonLink(Poller& poller, os::Fd socket) : poller_(poller), socket_(std::move(socket)) {}
  ~DaemonLink() { poller_.cancel(retry_); }
  DaemonLink(const DaemonLink&) = delete;
  DaemonLink& operator=(const DaemonLink&) = delete;

  const os::Fd& socket() const { return socket_; }
  bool broken() const { return broken_; }

  void done(std::uint64_t request);
  void failed(std::uint64_t request, const base::Error& error, std::string detail = "");
  void zygote_ready(std::uint64_t request, wire::ZygoteMade made);
  /// The descriptors are closed here once they are sent.
  void forked(std::uint64_t request, os::Fd cpu, os::Fd memory_peak);
  void cpu_use(std::uint64_t request, const wire::CpuUse& use);
  void exited(const wire::Exited& event);
  void linked(const wire::Linked& event);
  void unlinked(const wire::Unlinked& event);
  /// Unless something waits already: then the daemon is behind, and will be told again.
  void memory_short();
  /// Of a sandbox's network; closed here once they are sent.
  void sockets(std::uint64_t request, std::vector<os::Fd> sockets);
  /// The sockets for names; closed here once they are sent.
  void egress_open(std::uint64_t request, os::Fd udp, os::Fd tcp);

 private:
  struct Outgoing {
    std::string bytes;
    std::vector<os::Fd> fds;
  };
  void send(wire::LauncherType type, std::uint64_t id, std::string payload, std::vector<os::Fd> fds = {});
  base::Result<> send_now(const Outgoing& out);
  void flush();

  Poller& poller_;
  os::Fd socket_;
  std::deque<Outgoing> waiting_;
  Poller::Timer retry_ = Poller::Timer::kNone;
  bool broken_ = false;
};

}  // namespace ebb::launcher
