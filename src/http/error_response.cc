#include "http/error_response.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

#include "base/utf8.h"

namespace ebb::http {

std::string json_quoted(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string quoted = "\"";
  while (!text.empty()) {
    const char c = text.front();
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
      text.remove_prefix(1);
    } else if (byte < 0x80) {
      quoted += "\\u00";
      quoted += kDigits[byte >> 4];
      quoted += kDigits[byte & 15];
      text.remove_prefix(1);
    } else {
      const std::size_t length = base::utf8_length(text);
      quoted += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length);
      text.remove_prefix(std::max<std::size_t>(length, 1));
    }
  }
  quoted += '"';
  return quoted;
}

Response error_response(const base::Error& error, std::string_view request_id) {
  return error_response(base::http_status_of(error.code), error, request_id);
}

Response error_response(int status, const base::Error& error, std::string_view request_id) {
  Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/json");
  if (error.code == base::Code::kUnauthenticated) response.headers.add("WWW-Authenticate", "Bearer realm=\"ebb\"");
  if (error.retry_after || error.code == base::Code::kResourceExhausted) {
    const auto wait = error.retry_after.value_or(std::chrono::seconds(1));
    // Whole seconds, rounded up: a client must not come back too early; at least 1.
    const auto seconds = std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(wait).count());
    response.headers.add("Retry-After", std::to_string(seconds));
  }
  response.body =
      "{\"error\":{\"code\":" + json_quoted(base::name_of(error.code)) + ",\"message\":" + json_quoted(error.message);
  if (!request_id.empty()) response.body += ",\"request_id\":" + json_quoted(request_id);
  response.body += "}}\n";
  return response;
}

}  // namespace ebb::http
