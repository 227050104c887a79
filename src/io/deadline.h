// Deadlines: the time limit that every wait of the daemon has.
//
// 1. with_deadline ends when the task ends; at the deadline the task is cancelled (its current wait throws
// operation_aborted)
//    and awaited to its end, so nothing of it is left running. What it returns after the deadline is dropped.
// 2. A cancelled caller cancels the task the same way.
// Called by every part that waits. Cost: about 3 microseconds; loops that wait per byte use one timer of their own
// instead.
#pragma once

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "base/duration.h"
#include "base/result.h"
#include "io/task.h"

namespace ebb::io {

/// Waits until the time, at once if it is past. Throws operation_aborted when cancelled.
Task<> sleep_until(base::SteadyTime time);
Task<> sleep_for(base::Duration duration);

namespace detail {

// An awaitable that throws does not end asio's `||`, it would sit until the deadline: so exceptions travel as values.
// No std::variant: `||` flattens those into its own result.
template <typename T>
struct Outcome {
  std::optional<T> value;
  std::exception_ptr thrown;
};

template <typename T>
Task<Outcome<T>> guarded(Task<T> task) {
  Outcome<T> outcome;
  try {
    T value = co_await std::move(task);
    outcome.value.emplace(std::move(value));
  } catch (...) {
    outcome.thrown = std::current_exception();
  }
  co_return outcome;
}

template <typename T>
struct Unwrapped {
  using Type = base::Result<T>;
};
template <typename T>
struct Unwrapped<base::Result<T>> {
  using Type = base::Result<T>;
};

base::Error deadline_exceeded(const char* what);
Task<std::monostate> as_value(Task<> task);

}  // namespace detail

/// Awaits the task for as long as the deadline allows. A Task<T> gives Result<T>, a Task<Result<T>> gives Result<T>
/// too. `what` names the wait for the message: "the zygote's answer". Errors: kDeadlineExceeded; the task's own.
/// Exceptions of the task pass through.
template <typename T>
Task<typename detail::Unwrapped<T>::Type> with_deadline(Task<T> task, base::SteadyTime deadline, const char* what) {
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (detail::guarded<T>(std::move(task)) || sleep_until(deadline));
  if (first.index() == 1) co_return detail::deadline_exceeded(what);
  detail::Outcome<T> outcome = std::get<0>(std::move(first));
  if (outcome.thrown) std::rethrow_exception(outcome.thrown);
  co_return std::move(*outcome.value);
}

/// The same for a task without a value.
Task<base::Result<>> with_deadline(Task<> task, base::SteadyTime deadline, const char* what);

}  // namespace ebb::io
