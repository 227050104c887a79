// The error value of the whole program: a closed set of codes and a sentence for the person who reads it.
//
// Messages are lower case without a full stop, name the thing and the remedy
// ("memory is 8Gi, the most this node gives is 4Gi"). Errors are returned, not logged; the wall that swallows one logs
// it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebb::base {

enum class Code : std::uint8_t {
  kInvalidArgument,    // the caller sent something malformed: 400, exit 2
  kUnauthenticated,    // 401, exit 4
  kPermissionDenied,   // 403, exit 4
  kNotFound,           // 404, exit 3
  kMethodNotAllowed,   // 405, exit 2
  kConflict,           // 409, exit 5
  kTooLarge,           // 413, exit 2
  kHeadersTooLarge,    // 431, exit 2
  kResourceExhausted,  // a queue or budget is full, try later: 429, exit 6
  kFunctionFailed,     // user code failed (raised, crashed, exited): 502, exit 7
  kUnavailable,        // the platform cannot do it now: 503, exit 8
  kDeadlineExceeded,   // 504, exit 9
  kCancelled,          // the caller went away: 499, exit 10
  kInternal,           // a bug or a fault of the platform: 500, exit 1
};

/// The code's stable name in JSON, e.g. "not_found".
std::string_view name_of(Code code);
/// The HTTP status a code is reported with.
int http_status_of(Code code);
/// The exit code of the command line for a code. Documented in docs/reference/exit-codes.md.
int exit_code_of(Code code);
/// The inverse of name_of; kInternal for a name this build does not know.
Code code_named(std::string_view name);

struct Error {
  Code code = Code::kInternal;
  std::string message;
  int os_errno = 0;                                        // 0 when no system call failed
  std::optional<std::chrono::milliseconds> retry_after{};  // set with kResourceExhausted and kUnavailable where known
};

// Cold: what leads to an error alone is laid out apart by the compiler, so that a call without one runs through less
// code.

/// An error from a failed system call: "what: strerror". Code kInternal unless the errno speaks for another.
[[gnu::cold]] Error os_error(std::string_view what, int os_errno);

[[gnu::cold]] Error invalid_argument(std::string message);
[[gnu::cold]] Error not_found(std::string message);
[[gnu::cold]] Error internal(std::string message);
[[gnu::cold]] Error unavailable(std::string message);

}  // namespace ebb::base
