// Task: a coroutine of the daemon, and spawn: the one way to start one that nobody awaits.
//
// 1. A Task is lazy: it runs when awaited or spawned, and it stays on the executor it was started on.
// 2. spawn is a wall: an exception that escapes becomes one log line, never a crash; cancellation is silent.
// 3. A Task takes what it needs by value, or references to what is documented to outlive it.
// Called by every part that waits.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>

namespace ebb::io {

namespace asio = boost::asio;

template <typename T = void>
using Task = asio::awaitable<T>;

/// Starts the task on the executor and returns at once, before the task has run.
/// `name` is a literal that names the task in the log. Threads: any.
void spawn(const asio::any_io_executor& executor, const char* name, Task<> task);
void spawn(asio::io_context& context, const char* name, Task<> task);

/// The same, cancellable: emit(asio::cancellation_type::terminal) on the slot's signal, on the task's own core, makes
/// its current wait and every later one throw operation_aborted. The signal must outlive the task.
void spawn(const asio::any_io_executor& executor, const char* name, asio::cancellation_slot slot, Task<> task);

}  // namespace ebb::io
