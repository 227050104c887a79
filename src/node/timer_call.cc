#include "node/timer_call.h"

#include <algorithm>
#include <boost/json.hpp>

namespace ebb::node {

namespace json = boost::json;

namespace {

constexpr std::string_view kHost = "localhost";
constexpr std::string_view kSelf = "127.0.0.1";
constexpr std::string_view kAgent = "ebb-timer";

std::string text_of(const json::object& event, std::string_view key) {
  const json::value* value = event.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

// Payload version 2.0, as much of it as a request has that came over no connection.
std::string request_event(const Call& call) {
  json::object headers;
  for (const http::Header& header : call.request.headers) headers[lower(header.name)] = header.value;
  const std::string path(call.function_path());
  return json::serialize(json::object{
      {"version", "2.0"},
      {"routeKey", "$default"},
      {"rawPath", path},
      {"rawQueryString", call.request.query},
      {"headers", std::move(headers)},
      {"requestContext", json::object{{"http", json::object{{"method", call.request.method},
                                                            {"path", path},
                                                            {"protocol", "HTTP/1.1"},
                                                            {"sourceIp", kSelf},
                                                            {"userAgent", kAgent}}},
                                      {"domainName", kHost},
                                      {"requestId", base::to_string(call.id)}}},
  });
}

}  // namespace

void make_timer_call(Call& call) {
  call.content_type = "application/json";
  boost::system::error_code broken;
  const json::value value = json::parse(call.body, broken);
  const json::object* event = broken ? nullptr : value.if_object();
  if (event == nullptr) return;
  call.timer = text_of(*event, "timer");
  call.url_prefix = "/fn/" + call.app + "/" + call.function;
  std::string path = text_of(*event, "path");
  if (const std::size_t mark = path.find('?'); mark != std::string::npos) {
    call.request.query = path.substr(mark + 1);
    path.resize(mark);
  }
  call.request.method = "POST";
  call.request.path = call.url_prefix + (path.empty() ? "/" : path);
  call.request.target = call.request.path;
  call.request.peer_address = kSelf;
  call.request.headers.add("Host", std::string(kHost));
  call.request.headers.add("User-Agent", std::string(kAgent));
  call.request.headers.add("Content-Type", call.content_type);
  call.request.headers.add("X-Ebb-Timer", call.timer);
  call.request.headers.add("X-Ebb-Timer-Due", text_of(*event, "due"));
  call.event_of = request_event;
}

void address_timer_call(const model::FunctionSpec& spec, Call& call) {
  const bool takes_requests = spec.runtime == "http" && spec.contract == model::Contract::kPlain;
  if (!takes_requests && !tells_timer_either_way(spec, call)) {
    // What its contract says, or no request at all.
    call.request = {};
    call.url_prefix.clear();
    return;
  }
  if (takes_requests) call.kind = Call::Kind::kHttp;
  if (!call.traceparent.empty()) call.request.headers.set("traceparent", call.traceparent);
  if (!call.tracestate.empty()) call.request.headers.set("tracestate", call.tracestate);
}

bool tells_timer_either_way(const model::FunctionSpec& spec, const Call& call) {
  return !call.timer.empty() && spec.runtime == "python3" && spec.interface != model::Interface::kEvent;
}

}  // namespace ebb::node
