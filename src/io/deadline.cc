#include "io/deadline.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace ebb::io {

Task<> sleep_until(base::SteadyTime time) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

Task<> sleep_for(base::Duration duration) { return sleep_until(base::steady_now() + duration); }

namespace detail {

base::Error deadline_exceeded(const char* what) {
  return base::Error{.code = base::Code::kDeadlineExceeded, .message = std::string(what) + " did not come in time"};
}

Task<std::monostate> as_value(Task<> task) {
  co_await std::move(task);
  co_return std::monostate();
}

}  // namespace detail

Task<base::Result<>> with_deadline(Task<> task, base::SteadyTime deadline, const char* what) {
  const base::Result<std::monostate> done = co_await with_deadline(detail::as_value(std::move(task)), deadline, what);
  if (!done) co_return done.error();
  co_return base::Result<>();
}

}  // namespace ebb::io
