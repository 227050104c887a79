#include "http/head.h"

#include <charconv>
#include <cstring>
#include <utility>

#include "base/limits.h"

namespace ebb::http {
namespace {

constexpr std::size_t kUsualHeaders = 12;  // most requests have no more

Refusal malformed(std::string message) { return refusal(400, base::Code::kInvalidArgument, std::move(message)); }

// The next line without its CRLF; the scanner has seen that every line ends with one.
std::string_view take_line(std::string_view& rest) {
  const std::size_t feed = rest.find('\n');
  if (feed == std::string_view::npos) return std::exchange(rest, {});
  // A bare line feed stays in its line, where no rule allows it.
  const bool proper = feed > 0 && rest[feed - 1] == '\r';
  const std::string_view line = rest.substr(0, proper ? feed - 1 : feed + 1);
  rest.remove_prefix(feed + 1);
  return line;
}

// The headers that decide where the message ends, collected while the others are read.
struct BodyHeaders {
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
};

std::optional<Refusal> read_content_length(std::string_view value, BodyHeaders& body) {
  if (body.content_length) return malformed("content-length is given twice, send it once");
  std::uint64_t length = 0;
  const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), length);
  if (value.empty() || failed != std::errc() || end != value.data() + value.size()) {
    return malformed("content-length is not a number");
  }
  body.content_length = length;
  return std::nullopt;
}

std::optional<Refusal> read_transfer_encoding(std::string_view value, BodyHeaders& body) {
  if (body.chunked) return malformed("transfer-encoding is given twice, send it once");
  if (!same_name(value, "chunked")) {
    return refusal(501, base::Code::kInvalidArgument, "the only transfer-encoding this server reads is chunked");
  }
  body.chunked = true;
  return std::nullopt;
}

std::optional<Refusal> read_headers(std::string_view rest, Headers& headers, BodyHeaders& body) {
  headers.reserve(kUsualHeaders);
  for (;;) {
    const std::string_view line = take_line(rest);
    if (line.empty()) break;
    if (line.front() == ' ' || line.front() == '\t')
      return malformed("a header is folded over two lines, send it in one");
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return malformed("a header line has no colon");
    const std::string_view name = line.substr(0, colon);
    if (!is_header_name(name)) return malformed("a header's name holds a character that is not allowed there");
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (!is_header_value(value)) return malformed("a header's value holds a control character");
    if (headers.size() == limits::kHttpHeaders) {
      return refusal(431, base::Code::kHeadersTooLarge,
                     "the request has more than " + std::to_string(limits::kHttpHeaders) + " headers, send fewer");
    }
    std::optional<Refusal> refused;
    if (same_name(name, "content-length")) refused = read_content_length(value, body);
    if (same_name(name, "transfer-encoding")) refused = read_transfer_encoding(value, body);
    if (refused) return refused;
    headers.add(std::string(name), std::string(value));
  }
  if (body.chunked && body.content_length) {
    return malformed("content-length and transfer-encoding are both given, send one of them");
  }
  return std::nullopt;
}

// "HTTP/1.0" is 10, "HTTP/1.1" is 11; anything else that names HTTP is 505.
Parsed<unsigned> read_version(std::string_view text) {
  if (text == "HTTP/1.1") return 11u;
  if (text == "HTTP/1.0") return 10u;
  if (text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[6] == '.') {
    return refusal(505, base::Code::kInvalidArgument, "this server speaks HTTP/1.1 and HTTP/1.0");
  }
  return malformed("the request line does not end with an HTTP version");
}

std::optional<Refusal> read_target(Request& request) {
  for (const char c : request.target) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f) return malformed("the target holds a control character");
  }
  std::string_view target = request.target;
  if (target.substr(0, 7) == "http://" || target.substr(0, 8) == "https://") {
    const std::size_t authority = target.find("//") + 2;
    const std::size_t path = target.find_first_of("/?", authority);
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
  } else if (request.method == "CONNECT") {
    return refusal(501, base::Code::kMethodNotAllowed, "this server is no proxy, CONNECT is not served");
  } else if (target.empty() || (target.front() != '/' && !(target == "*" && request.method == "OPTIONS"))) {
    return malformed("the target does not begin with a slash");
  }
  const std::size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (request.path.empty()) request.path = "/";
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  return std::nullopt;
}

// What the remaining headers say about the connection; after read_headers.
std::optional<Refusal> read_semantics(RequestHead& head) {
  const Headers& headers = head.request.headers;
  std::size_t hosts = 0;
  bool close = false;
  bool keep = false;
  for (const Header& header : headers) {
    if (same_name(header.name, "host")) ++hosts;
    if (same_name(header.name, "connection")) {
      close = close || has_token(header.value, "close");
      keep = keep || has_token(header.value, "keep-alive");
    }
    if (same_name(header.name, "expect") && head.request.version == 11) {
      if (!same_name(header.value, "100-continue")) {
        return refusal(417, base::Code::kInvalidArgument, "the only expectation this server meets is 100-continue");
      }
      head.expects_continue = true;
    }
  }
  if (hosts > 1) return malformed("host is given twice, send it once");
  if (hosts == 0 && head.request.version == 11) return malformed("host is missing, HTTP/1.1 requires it");
  head.keep_alive = head.request.version == 11 ? !close : keep && !close;
  return std::nullopt;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Refusal refusal(int status, base::Code code, std::string message) {
  return {status, base::Error{.code = code, .message = std::move(message)}};
}

Refusal target_too_long(std::size_t limit_bytes) {
  return refusal(414, base::Code::kTooLarge,
                 "the request's target is longer than the limit of " + std::to_string(limit_bytes) + " bytes");
}

Refusal head_too_long(std::size_t limit_bytes) {
  return refusal(431, base::Code::kHeadersTooLarge,
                 "the request's headers are larger than the limit of " + std::to_string(limit_bytes) + " bytes");
}

Parsed<std::size_t> HeadScanner::scan(std::string_view bytes) {
  while (scanned_ < bytes.size()) {
    const void* found = std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_);
    if (found == nullptr) break;
    const auto feed = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
    if (feed == line_start_ || bytes[feed - 1] != '\r')
      return malformed("a line ends with a bare line feed, end it with CR LF");
    const bool empty_line = feed - 1 == line_start_;
    line_start_ = scanned_ = feed + 1;
    if (empty_line) return line_start_;
  }
  scanned_ = bytes.size();
  return std::size_t{0};
}

Parsed<RequestHead> parse_request_head(std::string_view head, std::size_t target_bytes_max) {
  RequestHead result;
  Request& request = result.request;
  const std::string_view line = take_line(head);
  const std::size_t method_end = line.find(' ');
  const std::size_t target_end = method_end == std::string_view::npos ? method_end : line.find(' ', method_end + 1);
  if (target_end == std::string_view::npos) return malformed("the request line is not 'METHOD target HTTP/1.1'");
  const std::string_view method = line.substr(0, method_end);
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  if (!is_header_name(method)) return malformed("the method holds a character that is not allowed there");
  if (target.size() > target_bytes_max) return target_too_long(target_bytes_max);
  const Parsed<unsigned> version = read_version(line.substr(target_end + 1));
  if (!version) return version.error();
  request.method = method;
  request.target = target;
  request.version = *version;
  if (auto refused = read_target(request)) return *std::move(refused);

  BodyHeaders body;
  if (auto refused = read_headers(head, request.headers, body)) return *std::move(refused);
  if (auto refused = read_semantics(result)) return *std::move(refused);
  if (body.chunked) {
    if (request.version == 10) return malformed("transfer-encoding is not part of HTTP/1.0");
    result.framing = Framing::kChunked;
  } else if (body.content_length) {
    result.framing = Framing::kLength;
    result.content_length = *body.content_length;
  }
  return result;
}

Parsed<ResponseHead> parse_response_head(std::string_view head, std::string_view method) {
  ResponseHead result;
  const std::string_view line = take_line(head);
  const Parsed<unsigned> version = read_version(line.substr(0, 8));
  if (!version) return malformed("the answer does not begin with an HTTP version");
  const std::string_view status = line.size() >= 12 && line[8] == ' ' ? line.substr(9, 3) : std::string_view();
  const auto [end, failed] = std::from_chars(status.data(), status.data() + status.size(), result.status);
  if (failed != std::errc() || end != status.data() + status.size() || result.status < 100) {
    return malformed("the answer has no status");
  }
  BodyHeaders body;
  if (auto refused = read_headers(head, result.headers, body)) return *std::move(refused);
  const std::string_view connection = result.headers.get("connection");
  result.keep_alive = *version == 11 ? !has_token(connection, "close") : has_token(connection, "keep-alive");
  result.announced = body.content_length;
  if (method == "HEAD" || result.status < 200 || result.status == 204 || result.status == 304) {
    result.framing = Framing::kNone;
  } else if (body.chunked) {
    result.framing = Framing::kChunked;
  } else if (body.content_length) {
    result.framing = Framing::kLength;
    result.content_length = *body.content_length;
  }
  return result;
}

}  // namespace ebb::http
