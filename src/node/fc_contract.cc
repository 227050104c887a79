#include "node/fc_contract.h"

#include <algorithm>
#include <chrono>

#include "base/limits_contract.h"

namespace ebb::node {

namespace {

constexpr std::string_view kPrefix = "x-fc-";
constexpr std::string_view kRegion = "cn-hangzhou";     // where env has no FC_REGION: programs want some name there
constexpr std::string_view kHandler = "index.handler";  // likewise
constexpr int kFailed = 404;                            // of x-fc-status

void add_line(std::string& lines, std::string_view name, std::string_view value) {
  lines.append(kPrefix).append(name).append(": ").append(value).append("\r\n");
}

std::string seconds_of(base::Duration time) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count());
}

// A value of the function's env, where it may stand in a header.
std::string_view of_env(const model::FunctionSpec& spec, const std::string& name) {
  const auto at = spec.env.find(name);
  return at != spec.env.end() && http::is_header_value(at->second) ? std::string_view(at->second) : std::string_view();
}

}  // namespace

bool is_fc_header(std::string_view name) {
  return name.size() >= kPrefix.size() && http::same_name(name.substr(0, kPrefix.size()), kPrefix);
}

void make_event_request(Call& call) {
  call.request.method = "POST";
  call.request.path = "/invoke";
  call.request.headers.add("Content-Type", "application/octet-stream");
  if (!call.traceparent.empty()) call.request.headers.add("traceparent", call.traceparent);
  if (!call.tracestate.empty()) call.request.headers.add("tracestate", call.tracestate);
}

std::string fc_lines(const model::Version& version, const Call& call) {
  const model::FunctionSpec& spec = version.spec;
  const std::string_view region = of_env(spec, "FC_REGION");
  const std::string_view account = of_env(spec, "FC_ACCOUNT_ID");
  std::string lines;
  add_line(lines, "request-id", base::to_string(call.id));
  add_line(lines, "control-path", call.kind == Call::Kind::kDirect ? "/invoke" : "/http-invoke");
  add_line(lines, "function-name", version.function);
  add_line(lines, "function-handler", spec.handler.empty() ? kHandler : std::string_view(spec.handler));
  add_line(lines, "function-memory", std::to_string(spec.memory.count >> 20));
  add_line(lines, "function-timeout", seconds_of(spec.timeout));
  if (spec.lifecycle.initialize > base::Duration::zero()) {
    add_line(lines, "function-initializer", "initialize");
    add_line(lines, "initialization-timeout", seconds_of(spec.lifecycle.initialize));
  }
  add_line(lines, "region", region.empty() ? kRegion : region);
  if (!account.empty()) add_line(lines, "account-id", account);
  return lines;
}

bool tells_failure(const http::ResponseHead& head, Call::Kind kind) {
  if (head.headers.get("x-fc-status") == std::to_string(kFailed)) return true;
  return kind == Call::Kind::kDirect && (head.status < 200 || head.status > 299);
}

std::string told_failure(const http::ResponseHead& head, std::string_view body) {
  std::string message(body.substr(0, limits::kToldFailureBytes));
  std::replace_if(message.begin(), message.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  if (body.size() > limits::kToldFailureBytes) message += "...";
  const bool by_header = head.headers.get("x-fc-status") == std::to_string(kFailed);
  const std::string how = by_header ? "x-fc-status: 404" : "status " + std::to_string(head.status);
  return "failed (" + how + "): " + (message.empty() ? "it does not say why" : message);
}

}  // namespace ebb::node
