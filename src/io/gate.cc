#include "io/gate.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>

#include "base/check.h"
#include "io/deadline.h"

namespace ebb::io {

Gate::Gate(const asio::any_io_executor& executor) : emptied_(executor, base::SteadyTime::max()) {}

Gate::~Gate() { EBB_CHECK(count_ == 0); }

void Gate::Holder::leave() {
  Gate* gate = std::exchange(gate_, nullptr);
  if (gate == nullptr) return;
  EBB_CHECK(gate->count_ > 0);
  if (--gate->count_ == 0 && gate->closed_) gate->emptied_.cancel();
}

base::Result<Gate::Holder> Gate::enter() {
  if (closed_) return base::unavailable("it is shutting down, try again after the restart");
  ++count_;
  return Holder(this);
}

Task<> Gate::wait_until_empty() {
  while (count_ > 0) {
    boost::system::error_code ignored;  // the wake-up comes as a cancelled wait
    co_await emptied_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

Task<base::Result<>> Gate::close(base::SteadyTime deadline) {
  closed_ = true;
  if (count_ == 0) co_return base::Result<>();
  const base::Result<> emptied = co_await with_deadline(wait_until_empty(), deadline, "the last user's departure");
  if (!emptied && count_ > 0) {
    co_return base::Error{.code = base::Code::kDeadlineExceeded,
                          .message = std::to_string(count_) + " users are still inside at the deadline"};
  }
  co_return base::Result<>();
}

}  // namespace ebb::io
