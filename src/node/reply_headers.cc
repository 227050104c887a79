#include "node/reply_headers.h"

#include <algorithm>
#include <array>

namespace ebb::node {

namespace {

constexpr std::string_view kReserved = "x-ebb-";
constexpr std::size_t kHeadersMax = 128;
constexpr std::size_t kHeaderBytesMax = 8 * 1024;  // of all together

// Those that speak of one connection, and those the server writes itself.
bool is_ours(std::string_view name) {
  constexpr std::array<std::string_view, 11> kOurs = {
      "connection", "content-length",    "date",   "keep-alive", "proxy-connection", "server", "server-timing", "te",
      "trailer",    "transfer-encoding", "upgrade"};
  const bool reserved = name.size() > kReserved.size() && http::same_name(name.substr(0, kReserved.size()), kReserved);
  return reserved ||
         std::any_of(kOurs.begin(), kOurs.end(), [&](std::string_view ours) { return http::same_name(ours, name); });
}

}  // namespace

std::string ReplyHeaders::add(std::string_view name, std::string_view value) {
  bytes_ += name.size() + value.size();
  if (!http::is_header_name(name)) return "a header whose name is not a token";
  if (!http::is_header_value(value)) {
    return "a header '" + std::string(name) + "' with a control character in its value";
  }
  if (reply_.headers.size() >= kHeadersMax || bytes_ > kHeaderBytesMax) {
    return "more than 128 headers or 8 KiB of them";
  }
  if (!is_ours(name)) reply_.headers.add(std::string(name), std::string(value));
  return {};
}

base::Error bad_result(const model::Version& version, const std::string& what) {
  return base::Error{.code = base::Code::kFunctionFailed,
                     .message = version.app + "/" + version.function + " returned " + what};
}

}  // namespace ebb::node
