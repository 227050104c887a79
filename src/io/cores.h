// Cores: the daemon's threads, each with an io_context of its own.
//
// 1. What is made on a core stays on it: sockets, timers and coroutines need no lock among themselves.
// 2. A core with much to do looks for more before it sleeps (io/spinning.h).
// 3. A context's work never runs on two threads; posting to it is allowed from any thread.
// 4. Cores outlives everything bound to its contexts that is not owned by a coroutine.
// Made once by the daemon (and by each test that needs an event loop).
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <limits>
#include <memory>
#include <vector>

#include "io/task.h"

namespace ebb::io {

class Cores {
 public:
  /// What current() says on a thread that is no core.
  static constexpr unsigned kNone = std::numeric_limits<unsigned>::max();

  /// Makes `count` contexts (at least one); no thread yet.
  explicit Cores(unsigned count);
  Cores(const Cores&) = delete;
  Cores& operator=(const Cores&) = delete;

  unsigned count() const { return static_cast<unsigned>(cores_.size()); }
  /// Precondition: core < count().
  asio::io_context& context(unsigned core);

  /// Serves every core until stop(): core 0 on the calling thread, the others on threads that are joined before it
  /// returns.
  void run();
  /// Makes run() return, now or when it is called; pending coroutines are destroyed with the Cores. Threads: any.
  void stop();

  /// The index of the core whose thread the caller is on, or kNone.
  static unsigned current();

 private:
  struct Core {
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  };

  void serve(unsigned index);

  std::vector<std::unique_ptr<Core>> cores_;
};

}  // namespace ebb::io
