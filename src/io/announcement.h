// Announcement: one value, set once from any thread, read by any number of coroutines, each with a deadline.
//
// 1. The first set() wins, later ones are dropped.
// 2. Readers get copies, and resume on their own executors.
// Beside OneShot, whose value goes to one reader.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "io/task.h"

namespace ebb::io {

template <typename T>
class Announcement {
 public:
  void set(T value) EBB_EXCLUDES(mutex_) {
    std::vector<std::shared_ptr<asio::steady_timer>> readers;
    {
      base::MutexLock lock(mutex_);
      if (value_) return;
      value_ = std::move(value);
      readers = std::exchange(readers_, {});
    }
    for (auto& reader : readers) {
      const auto executor = reader->get_executor();
      asio::post(executor, [reader = std::move(reader)] { reader->cancel(); });
    }
  }

  /// The value, or nothing yet.
  std::optional<T> now() const EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    return value_;
  }

  /// The value, or nothing at the deadline or when the caller is cancelled (who then disabled throw_if_cancelled).
  Task<std::optional<T>> wait(base::SteadyTime deadline) EBB_EXCLUDES(mutex_) {
    const auto executor = co_await asio::this_coro::executor;
    auto timer = std::make_shared<asio::steady_timer>(executor);
    timer->expires_at(deadline);
    if (listen(timer)) {
      [[maybe_unused]] const auto result = co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
    }
    co_return value_for(timer);
  }

 private:
  // False when the value is already there.
  bool listen(const std::shared_ptr<asio::steady_timer>& timer) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    if (!value_) readers_.push_back(timer);
    return !value_;
  }

  std::optional<T> value_for(const std::shared_ptr<asio::steady_timer>& timer) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    std::erase(readers_, timer);
    return value_;
  }

  mutable base::Mutex mutex_;
  std::optional<T> value_ EBB_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<asio::steady_timer>> readers_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::io
