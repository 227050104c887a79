#include "gateway/answer.h"

#include <algorithm>

#include "http/error_response.h"

namespace ebb::gateway {
namespace {

// Milliseconds with at most three decimals and no trailing zeros. By hand: it runs five times per call.
void append_milliseconds(std::string& out, base::Duration duration) {
  const auto microseconds = std::max<std::int64_t>(0, duration.count() / 1000);
  out += std::to_string(microseconds / 1000);
  auto rest = static_cast<unsigned>(microseconds % 1000);
  if (rest == 0) return;
  out += '.';
  for (unsigned digit = 100; rest > 0; digit /= 10) {
    out += static_cast<char>('0' + rest / digit);
    rest %= digit;
  }
}

}  // namespace

std::string server_timing(const node::Phases& phases, base::Duration total) {
  std::string out;
  out.reserve(128);
  out += "queue;dur=";
  append_milliseconds(out, phases.queue);
  out += ", start;dur=";
  append_milliseconds(out, phases.start);
  out += ";desc=\"";
  out += model::name_of(phases.rung);
  out += "\", init;dur=";
  append_milliseconds(out, phases.init);
  out += ", handler;dur=";
  append_milliseconds(out, phases.handler);
  out += ", total;dur=";
  append_milliseconds(out, total);
  return out;
}

http::Response answer_of(node::Reply reply, const base::InvocationId& id, base::Duration total) {
  const std::string request_id = base::to_string(id);
  http::Response response;
  if (reply.error) {
    response = http::error_response(*reply.error, request_id);
  } else {
    response.status = reply.status;
    response.headers = std::move(reply.headers);
    response.body = std::move(reply.body);
    response.stream = std::move(reply.stream);
    response.tunnel = std::move(reply.tunnel);
    response.stream_bytes = reply.stream_bytes;
  }
  response.held = std::move(reply.held);
  response.headers.add("X-Ebb-Request-Id", request_id);
  if (reply.version_number != 0) response.headers.add("X-Ebb-Version", std::to_string(reply.version_number));
  response.headers.add("Server-Timing", server_timing(reply.phases, total));
  return response;
}

}  // namespace ebb::gateway
