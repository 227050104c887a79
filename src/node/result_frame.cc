#include "node/result_frame.h"

#include <boost/json/parse.hpp>
#include <charconv>

#include "node/reply_headers.h"

namespace ebb::node {

namespace {

std::string text_of(const boost::json::object& fields, std::string_view key) {
  const auto* value = fields.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

// What stands between a function's name and the type of its error.
const char* told_as(std::string_view kind) {
  if (kind == "raised" || kind == "ended") return " raised ";
  return kind == "wrong_call" ? " refused the call: " : " failed: ";
}

// The length that a stream announces. Nothing for other answers, whose length is that of their body.
std::string take_length(std::string_view value, Reply& reply) {
  std::uint64_t bytes = 0;
  const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), bytes);
  const bool differs = reply.stream_bytes && *reply.stream_bytes != bytes;
  if (failed != std::errc() || end != value.data() + value.size() || differs) return "a Content-Length that is none";
  reply.stream_bytes = bytes;
  return {};
}

// Empty when all is well, else what is wrong.
std::string take_headers(const boost::json::object& fields, bool streamed, Reply& reply) {
  ReplyHeaders headers(reply);
  const auto add = [&](std::string_view name, std::string_view value) -> std::string {
    std::string wrong = headers.add(name, value);
    if (wrong.empty() && streamed && http::same_name(name, "content-length")) wrong = take_length(value, reply);
    return wrong;
  };
  if (const auto* list = fields.if_contains("headers"); list && list->is_array()) {
    for (const auto& pair : list->get_array()) {
      const auto* both = pair.if_array();
      if (!both || both->size() != 2 || !(*both)[0].is_string() || !(*both)[1].is_string()) return "a malformed header";
      if (std::string wrong = add((*both)[0].get_string(), (*both)[1].get_string()); !wrong.empty()) return wrong;
    }
  }
  if (const auto* list = fields.if_contains("cookies"); list && list->is_array()) {
    for (const auto& cookie : list->get_array()) {
      if (!cookie.is_string()) return "a cookie that is not text";
      if (std::string wrong = add("Set-Cookie", cookie.get_string()); !wrong.empty()) return wrong;
    }
  }
  return {};
}

}  // namespace

bool absorb_result(sandbox::Frame& frame, const model::Version& version, Reply& reply, model::Outcome& outcome) {
  outcome = model::Outcome::kFunctionError;
  boost::system::error_code bad_json;
  const boost::json::value meta = boost::json::parse(frame.meta, bad_json);
  const boost::json::object* fields = bad_json ? nullptr : meta.if_object();
  const bool streamed = frame.header.type == wire::FrameType::kStream;
  if (fields == nullptr ||
      (!streamed && frame.header.type != wire::FrameType::kResult && frame.header.type != wire::FrameType::kError)) {
    reply.error = bad_result(version, "a broken frame");
    return false;
  }
  if (frame.header.type == wire::FrameType::kError) {
    const std::string type = text_of(*fields, "type");
    const std::string kind = text_of(*fields, "kind");
    std::string message = version.app + "/" + version.function + told_as(kind) + type;
    const std::string text = text_of(*fields, "message");
    if (!text.empty()) message += (type.empty() ? "" : ": ") + text;
    const auto code = kind == "wrong_call" ? base::Code::kInvalidArgument : base::Code::kFunctionFailed;
    reply.error = base::Error{.code = code, .message = std::move(message)};
    return kind != "ended";
  }
  const auto* status = fields->if_contains("status");
  if (!status || !status->is_int64() || status->get_int64() < 200 || status->get_int64() > 599) {
    reply.error = bad_result(version, "a statusCode that is not between 200 and 599");
    return true;
  }
  if (const std::string wrong = take_headers(*fields, streamed, reply); !wrong.empty()) {
    reply.headers = {};
    reply.stream_bytes.reset();
    reply.error = bad_result(version, wrong);
    return true;
  }
  reply.status = static_cast<int>(status->get_int64());
  if (!streamed) reply.body = std::move(frame.body);
  outcome = model::Outcome::kOk;
  return true;
}

}  // namespace ebb::node
