#include "base/error.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace ebb::base {
namespace {

struct Row {
  Code code;
  std::string_view name;
  int http_status;
  int exit_code;
};

// The one table of codes; docs/reference/exit-codes.md is held against it by a test.
constexpr std::array kRows = {
    Row{Code::kInvalidArgument, "invalid_argument", 400, 2},
    Row{Code::kUnauthenticated, "unauthenticated", 401, 4},
    Row{Code::kPermissionDenied, "permission_denied", 403, 4},
    Row{Code::kNotFound, "not_found", 404, 3},
    Row{Code::kMethodNotAllowed, "method_not_allowed", 405, 2},
    Row{Code::kConflict, "conflict", 409, 5},
    Row{Code::kTooLarge, "too_large", 413, 2},
    Row{Code::kHeadersTooLarge, "headers_too_large", 431, 2},
    Row{Code::kResourceExhausted, "resource_exhausted", 429, 6},
    Row{Code::kFunctionFailed, "function_failed", 502, 7},
    Row{Code::kUnavailable, "unavailable", 503, 8},
    Row{Code::kDeadlineExceeded, "deadline_exceeded", 504, 9},
    Row{Code::kCancelled, "cancelled", 499, 10},
    Row{Code::kInternal, "internal", 500, 1},
};

const Row& row_of(Code code) {
  for (const Row& row : kRows) {
    if (row.code == code) return row;
  }
  EBB_CHECK(false && "every code has a row");
  std::abort();
}

}  // namespace

std::string_view name_of(Code code) { return row_of(code).name; }
int http_status_of(Code code) { return row_of(code).http_status; }
int exit_code_of(Code code) { return row_of(code).exit_code; }

Code code_named(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.code;
  }
  return Code::kInternal;
}

Error os_error(std::string_view what, int os_errno) {
  Code code = Code::kInternal;
  if (os_errno == ENOENT) code = Code::kNotFound;
  if (os_errno == EACCES || os_errno == EPERM) code = Code::kPermissionDenied;
  if (os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EMFILE || os_errno == ENFILE || os_errno == ENOMEM) {
    code = Code::kUnavailable;
  }
  return Error{.code = code, .message = std::string(what) + ": " + std::strerror(os_errno), .os_errno = os_errno};
}

Error invalid_argument(std::string message) {
  return Error{.code = Code::kInvalidArgument, .message = std::move(message)};
}
Error not_found(std::string message) { return Error{.code = Code::kNotFound, .message = std::move(message)}; }
Error internal(std::string message) { return Error{.code = Code::kInternal, .message = std::move(message)}; }
Error unavailable(std::string message) { return Error{.code = Code::kUnavailable, .message = std::move(message)}; }

}  // namespace ebb::base
