// Result<T>: a value or an Error. The one alias through which the whole program reports expected failures.
//
// boost::system::result stands in for tl::expected, which Debian 12 does not package (decision 0001).
// Reading value() of an error is a bug and aborts.
#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include "base/check.h"
#include "base/error.h"

namespace ebb::base {

[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location& where) {
  check_failed(where.file_name(), static_cast<int>(where.line()), error.message.c_str());
}

template <typename T = void>
using Result = boost::system::result<T, Error>;

}  // namespace ebb::base

#define EBB_CONCAT_INNER(a, b) a##b
#define EBB_CONCAT(a, b) EBB_CONCAT_INNER(a, b)

/// EBB_TRY(auto spec, parse(text)); declares `spec` or returns the error from the enclosing function.
#define EBB_TRY(declaration, expression) EBB_TRY_IMPL(EBB_CONCAT(ebb_try_, __LINE__), declaration, expression, return)
/// The same inside a coroutine (co_return). The expression must not await: await into a named local first.
#define EBB_CO_TRY(declaration, expression) \
  EBB_TRY_IMPL(EBB_CONCAT(ebb_try_, __LINE__), declaration, expression, co_return)
#define EBB_TRY_IMPL(holder, declaration, expression, leave) \
  auto&& holder = (expression);                              \
  if (!holder) [[unlikely]]                                  \
    leave std::move(holder).error();                         \
  declaration = std::move(*holder)

/// EBB_CHECKED(write(...)); for Result<void>: returns the error from the enclosing function.
#define EBB_CHECKED(expression)                                   \
  if (auto ebb_checked = (expression); !ebb_checked) [[unlikely]] \
  return std::move(ebb_checked).error()
