// The daemon's end of the launcher socket (wire/launcher_protocol.h).
//
// 1. ask() sends a request and waits for the answer with its id, on the caller's core; tell() does not wait.
// 2. Events (an instance exited) go to one handler, called on the home core.
// 3. When the socket ends, the launcher has died: every waiting ask() fails with kUnavailable and `lost` is called
// once. Called by node. Threads: ask and tell from any core.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/duration.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/one_shot.h"
#include "io/task.h"
#include "os/fd.h"
#include "wire/launcher_protocol.h"

namespace ebb::sandbox {

struct LauncherAnswer {
  wire::LauncherType type = wire::LauncherType::kDone;
  std::string payload;
  std::vector<os::Fd> fds;
};

class LauncherClient : public std::enable_shared_from_this<LauncherClient> {
 public:
  using ExitHandler = std::function<void(const wire::Exited&)>;
  using LostHandler = std::function<void()>;
  using LinkedHandler = std::function<void(const wire::Linked&)>;
  using UnlinkedHandler = std::function<void(const wire::Unlinked&)>;
  using MemoryShortHandler = std::function<void()>;

  static std::shared_ptr<LauncherClient> start(io::asio::io_context& home, os::Fd socket, ExitHandler exited,
                                               LostHandler lost);

  /// Who is told, on the home core, of sandboxes' ways out. Once, before the home core runs.
  void tell_of_links(LinkedHandler linked, UnlinkedHandler unlinked);
  /// Who is told, on the home core, again and again while too much of the memory budget is in use. Once, as above.
  void tell_of_memory(MemoryShortHandler memory_short);

  /// Sends the request with the descriptors (closed here once sent) and waits for its answer.
  /// Errors: what the launcher answered with kFailed (its detail goes to `detail`); kDeadlineExceeded; kCancelled;
  /// kUnavailable when it died.
  io::Task<base::Result<LauncherAnswer>> ask(wire::LauncherType type, std::string payload, std::vector<os::Fd> fds,
                                             base::Duration limit, std::string* detail);
  /// Sends without waiting for the answer, which is dropped.
  void tell(wire::LauncherType type, std::string payload);
  /// Orders the death of a thing and all in it; kExited follows. Does not wait.
  void kill(wire::Subject subject, std::uint64_t id);

 private:
  struct Outgoing {
    std::string bytes;
    std::vector<os::Fd> fds;
  };
  using Waiter = std::shared_ptr<io::OneShot<base::Result<LauncherAnswer>>>;

  LauncherClient(io::asio::io_context& home, os::Fd socket, ExitHandler exited, LostHandler lost);
  static io::Task<> receive_all(std::shared_ptr<LauncherClient> self);
  static io::Task<> flush(std::shared_ptr<LauncherClient> self);
  void deliver(std::string_view bytes, std::vector<os::Fd> fds);
  void send(Outgoing out) EBB_EXCLUDES(mutex_);
  bool send_now(const Outgoing& out) EBB_REQUIRES(mutex_);
  void fail_all() EBB_EXCLUDES(mutex_);

  const os::Fd socket_;
  io::asio::posix::stream_descriptor watched_;
  ExitHandler exited_;
  LostHandler lost_;
  LinkedHandler linked_;
  UnlinkedHandler unlinked_;
  MemoryShortHandler memory_short_;
  base::Mutex mutex_;
  std::uint64_t next_id_ EBB_GUARDED_BY(mutex_) = 1;
  bool dead_ EBB_GUARDED_BY(mutex_) = false;
  std::unordered_map<std::uint64_t, Waiter> waiting_ EBB_GUARDED_BY(mutex_);
  std::deque<Outgoing> outbox_
      EBB_GUARDED_BY(mutex_);  // what the socket did not take at once, in order; bounded by limits::kLauncherOutbox
};

}  // namespace ebb::sandbox
