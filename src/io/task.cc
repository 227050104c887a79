#include "io/task.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <utility>

#include "base/log.h"

namespace ebb::io {
namespace {

// The wall behind every spawned task.
struct Wall {
  const char* name;

  void operator()(const std::exception_ptr& escaped) const {
    if (!escaped) return;
    try {
      std::rethrow_exception(escaped);
    } catch (const boost::system::system_error& error) {
      if (error.code() == asio::error::operation_aborted) return;
      base::log(base::LogLevel::kError, "task_failed", {{"task", name}, {"error", error.what()}});
    } catch (const std::exception& error) {
      base::log(base::LogLevel::kError, "task_failed", {{"task", name}, {"error", error.what()}});
    } catch (...) {
      base::log(base::LogLevel::kError, "task_failed", {{"task", name}, {"error", "an exception of unknown type"}});
    }
  }
};

}  // namespace

void spawn(const asio::any_io_executor& executor, const char* name, Task<> task) {
  // Posted, for co_spawn alone runs the task at once when the caller is on that executor: under the caller's locks.
  asio::post(executor, [executor, name, task = std::move(task)]() mutable {
    asio::co_spawn(executor, std::move(task), Wall{name});
  });
}

void spawn(asio::io_context& context, const char* name, Task<> task) {
  spawn(asio::any_io_executor(context.get_executor()), name, std::move(task));
}

void spawn(const asio::any_io_executor& executor, const char* name, asio::cancellation_slot slot, Task<> task) {
  asio::co_spawn(executor, std::move(task), asio::bind_cancellation_slot(slot, Wall{name}));
}

}  // namespace ebb::io
