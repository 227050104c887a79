// Pool and offload: blocking work (SQLite, fsync, unpacking) done on threads of its own, awaited from a core.
//
// 1. The queue is bounded: a full one refuses at once, nothing waits to wait.
// 2. The awaiting coroutine resumes on its own core. When it is cancelled it resumes at once with kCancelled; the job
// itself
//    runs to its end and its result is dropped, so a job owns all it touches.
// 3. The Pool is destroyed before the contexts of those who offloaded to it; its destructor runs what is queued.
// Called by store's users, the deployer and the metrics flusher.
#pragma once

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/task.h"

namespace ebb::io {

class Pool {
 public:
  /// One piece of work. run() does not throw.
  class Job {
   public:
    virtual ~Job() = default;
    virtual void run() = 0;
  };

  /// `queue_max` bounds the jobs that wait, beside the `threads` that run.
  Pool(unsigned threads, std::size_t queue_max);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// False, and the job stays with the caller, when the queue is full. Threads: any.
  bool submit(std::unique_ptr<Job>& job);
  std::size_t queued() const;

 private:
  void work();

  const std::size_t queue_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Job>> queue_;  // guarded by mutex_
  bool stopping_ = false;                   // guarded by mutex_
  std::vector<std::thread> threads_;
};

namespace detail {

base::Error pool_full(const std::string& name);
base::Error job_cancelled(const std::string& name);
base::Error job_threw(const std::string& name, const char* what);

// The waiter of one job. `handler` is touched on the waiter's executor only, so whoever is first there, the result or
// the cancellation, takes it without a lock.
template <typename T, typename Handler>
struct Waiter {
  explicit Waiter(Handler&& waiting) : handler(std::move(waiting)) {}

  void complete(base::Result<T>&& result) {
    if (!handler) return;
    Handler taken = std::move(*handler);
    handler.reset();
    if (auto slot = asio::get_associated_cancellation_slot(taken); slot.is_connected()) slot.clear();
    std::move(taken)(std::move(result));
  }

  std::optional<Handler> handler;
};

template <typename T, typename Handler>
class OffloadedJob final : public Pool::Job {
 public:
  using Executor = asio::associated_executor_t<Handler>;
  OffloadedJob(std::string name, std::function<base::Result<T>()> job, std::shared_ptr<Waiter<T, Handler>> waiter)
      : name_(std::move(name)),
        job_(std::move(job)),
        waiter_(std::move(waiter)),
        work_(asio::get_associated_executor(*waiter_->handler)) {}

  void run() override {
    base::Result<T> result = attempt();
    job_ = nullptr;  // what the job owns dies here, not on the waiter's core
    // Posted, never completed here: the waiter belongs to its executor.
    asio::post(work_.get_executor(), [waiter = std::move(waiter_), result = std::move(result)]() mutable {
      waiter->complete(std::move(result));
    });
  }

 private:
  base::Result<T> attempt() {
    try {
      return job_();
    } catch (const std::exception& error) {
      return job_threw(name_, error.what());
    } catch (...) {
      return job_threw(name_, "an exception of unknown type");
    }
  }

  std::string name_;
  std::function<base::Result<T>()> job_;
  std::shared_ptr<Waiter<T, Handler>> waiter_;
  asio::executor_work_guard<Executor> work_;
};

template <typename T>
struct StartOffload {
  Pool& pool;
  std::string name;
  std::function<base::Result<T>()> job;

  template <typename Token>
  void operator()(Token&& token) {
    using Handler = std::decay_t<Token>;
    auto waiter = std::make_shared<Waiter<T, Handler>>(std::forward<Token>(token));
    const auto executor = asio::get_associated_executor(*waiter->handler);
    if (auto slot = asio::get_associated_cancellation_slot(*waiter->handler); slot.is_connected()) {
      slot.assign([weak = std::weak_ptr(waiter), executor, name = name](asio::cancellation_type) {
        asio::post(executor, [weak, name] {
          if (auto waiting = weak.lock()) waiting->complete(job_cancelled(name));
        });
      });
    }
    std::unique_ptr<Pool::Job> queued = std::make_unique<OffloadedJob<T, Handler>>(name, std::move(job), waiter);
    if (!pool.submit(queued)) {
      asio::post(executor, [waiter, name = name] { waiter->complete(pool_full(name)); });
    }
  }
};

}  // namespace detail

/// Runs the job on the pool and resumes with its result on the caller's executor. `name` names the job in errors.
/// Errors: the job's own; kUnavailable when the queue is full; kCancelled when the waiter was cancelled; kInternal when
/// the job threw.
template <typename T>
Task<base::Result<T>> offload(Pool& pool, std::string name, std::function<base::Result<T>()> job) {
  return asio::async_initiate<const asio::use_awaitable_t<>, void(base::Result<T>)>(
      detail::StartOffload<T>{pool, std::move(name), std::move(job)}, asio::use_awaitable);
}

}  // namespace ebb::io
