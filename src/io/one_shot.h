// OneShot: one value, set once from any thread, awaited by one coroutine with a deadline.
//
// 1. The first set() wins, later ones are dropped.
// 2. At most one coroutine waits at a time; it resumes on its own executor.
// 3. Shared by pointer between the two sides, so either may give up first.
// Called by whoever waits for an answer that another core or the launcher brings.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "io/task.h"

namespace ebb::io {

template <typename T>
class OneShot {
 public:
  void set(T value) {
    std::shared_ptr<asio::steady_timer> waiter;
    {
      base::MutexLock lock(mutex_);
      if (value_ || taken_) return;
      value_ = std::move(value);
      waiter = waiter_;
    }
    if (!waiter) return;
    const auto executor = waiter->get_executor();
    asio::post(executor, [waiter = std::move(waiter)] { waiter->cancel(); });
  }

  /// The value, if it is there already. As wait(), without a coroutine.
  std::optional<T> take_now() { return ready() ? take() : std::nullopt; }

  /// The value, or nothing at the deadline or when the caller is cancelled. The value is moved out.
  /// A caller that is cancelled gets nothing rather than an exception only if it disabled throw_if_cancelled.
  Task<std::optional<T>> wait(base::SteadyTime deadline) {
    if (ready()) co_return take();  // the warm path: no timer is made
    const auto executor = co_await asio::this_coro::executor;
    auto timer = std::make_shared<asio::steady_timer>(executor);
    timer->expires_at(deadline);
    if (listen(timer)) {
      [[maybe_unused]] const auto result = co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
    }
    co_return take();
  }

 private:
  bool ready() {
    base::MutexLock lock(mutex_);
    return value_.has_value();
  }

  // False when the value is already there.
  bool listen(std::shared_ptr<asio::steady_timer> timer) {
    base::MutexLock lock(mutex_);
    if (value_) return false;
    waiter_ = std::move(timer);
    return true;
  }

  std::optional<T> take() {
    base::MutexLock lock(mutex_);
    waiter_.reset();
    if (value_) taken_ = true;
    return std::exchange(value_, std::nullopt);
  }

  base::Mutex mutex_;
  std::optional<T> value_ EBB_GUARDED_BY(mutex_);
  bool taken_ EBB_GUARDED_BY(mutex_) = false;
  std::shared_ptr<asio::steady_timer> waiter_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::io
