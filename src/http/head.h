// The head of a message: finding its end in bytes that arrive piecemeal, and reading it strictly.
//
// 1. Whatever two HTTP implementations could read differently is refused with 400: bare line feeds, folded lines, a
//    Content-Length beside Transfer-Encoding, either given twice, space before a colon.
// 2. A refusal closes the connection: where the next request begins is not known any more.
// 3. Pure functions of bytes: no I/O, no clock, no allocation beyond the strings of the result.
// Called by the server's connections and by the client. Written by hand because Boost.Beast joins folded lines and
// passes unknown transfer codings; both are gateways for request smuggling.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "http/message.h"

namespace ebb::http {

/// Without white space as HTTP has it, blanks and tabs, at its ends (RFC 9110, 5.6.3).
std::string_view trimmed(std::string_view text);

/// A message that cannot be served. The status is finer than the error's code.
struct Refusal {
  Refusal() = default;
  Refusal(int http_status, base::Error what) : status(http_status), error(std::move(what)) {}

  int status = 400;
  base::Error error;
};

template <typename T>
using Parsed = boost::system::result<T, Refusal>;

/// Finds the empty line that ends a head. Each byte is looked at once, however small the pieces.
class HeadScanner {
 public:
  /// `bytes` begins with the head, and holds at least what the call before saw. Gives the head's size with its empty
  /// line, or 0 when more is needed. Refuses bare line feeds.
  Parsed<std::size_t> scan(std::string_view bytes);
  /// True once the first line was complete.
  bool past_first_line() const { return line_start_ > 0; }
  void reset() { scanned_ = line_start_ = 0; }

 private:
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
};

/// How a message's body is delimited.
enum class Framing : std::uint8_t { kNone, kLength, kChunked, kUntilClose };

struct RequestHead {
  Request request;
  Framing framing = Framing::kNone;
  std::uint64_t content_length = 0;
  bool keep_alive = true;
  bool expects_continue = false;
};

/// Reads a whole head as HeadScanner delimits it. `target_bytes_max`: 414 beyond.
Parsed<RequestHead> parse_request_head(std::string_view head, std::size_t target_bytes_max);

struct ResponseHead {
  int status = 0;
  bool keep_alive = false;  // the connection outlives the answer, if the answer's end can be told
  Headers headers;
  Framing framing = Framing::kUntilClose;
  std::uint64_t content_length = 0;
  std::optional<std::uint64_t> announced;  // what Content-Length says, also where no body follows
};

/// The same for a response to a request of that method.
Parsed<ResponseHead> parse_response_head(std::string_view head, std::string_view method);

/// The refusals the connection makes itself.
Refusal refusal(int status, base::Code code, std::string message);
Refusal target_too_long(std::size_t limit_bytes);
Refusal head_too_long(std::size_t limit_bytes);

}  // namespace ebb::http

namespace ebb::http {
[[noreturn]] inline void throw_exception_from_error(const Refusal& refused, const boost::source_location& where) {
  base::throw_exception_from_error(refused.error, where);
}
}  // namespace ebb::http
