// Where the program of an instance listens (runtime http), or its runtime (`concurrency` of handlers), and the
// connections to it that are kept between calls.
//
// 1. The sockets are made by the launcher in the instance's network and connected here, to its loopback and nowhere
//    else; the instance never holds the daemon's end.
// 2. A connection serves one call at a time; one on which something came unasked, or that has ended, is not used again.
// 3. Kept: at most as many as the instance serves calls at once. Sockets not yet connected: limits::kSocketsAtOnce.
// Made by node when the instance says that it is ready; used by each call in it. Threads: any.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "base/id.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/task.h"
#include "os/fd.h"
#include "sandbox/launcher_client.h"

namespace ebb::sandbox {

class ProgramPort {
 public:
  using Socket = io::asio::generic::stream_protocol::socket;

  /// `calls_max`: at once.
  ProgramPort(std::shared_ptr<LauncherClient> launcher, base::InstanceId instance, std::uint16_t port,
              std::uint32_t calls_max)
      : launcher_(std::move(launcher)), instance_(instance), port_(port), calls_max_(calls_max) {}
  ProgramPort(const ProgramPort&) = delete;
  ProgramPort& operator=(const ProgramPort&) = delete;

  /// A kept connection, watched by `here`; nothing when there is none. Cost: a system call, and two more when another
  /// core used it last.
  std::optional<Socket> take(io::asio::io_context& here) EBB_EXCLUDES(mutex_);
  /// A new one. Errors: kUnavailable when nobody accepts it, or the instance has gone; kResourceExhausted when the
  /// launcher has no descriptor left; kCancelled.
  static io::Task<base::Result<Socket>> connect(std::shared_ptr<ProgramPort> self, io::asio::io_context& here);
  /// After a whole exchange.
  void keep(Socket socket, io::asio::io_context& here) EBB_EXCLUDES(mutex_);

 private:
  struct Kept {
    Socket socket;
    io::asio::io_context* watched_by = nullptr;
  };

  static io::Task<base::Result<os::Fd>> new_socket(std::shared_ptr<ProgramPort> self);
  std::optional<Kept> take_kept(io::asio::io_context& here) EBB_EXCLUDES(mutex_);

  const std::shared_ptr<LauncherClient> launcher_;
  const base::InstanceId instance_;
  const std::uint16_t port_;
  const std::uint32_t calls_max_;
  base::Mutex mutex_;
  std::vector<Kept> kept_ EBB_GUARDED_BY(mutex_);  // used last at the back
  std::vector<os::Fd> sockets_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::sandbox
