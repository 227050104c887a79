#include "gateway/otlp.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <vector>

#include "gateway/json_text.h"

namespace ebb::gateway {
namespace {

using Part = CallTrace::Part;

constexpr int kInternal = 1;  // SpanKind
constexpr int kServer = 2;
constexpr int kProducer = 4;
constexpr int kConsumer = 5;
constexpr int kStatusError = 2;

// One JSON list of attributes, open while it lives.
class Attributes {
 public:
  explicit Attributes(std::string& out) : out_(out) { out_ += R"("attributes":[)"; }
  ~Attributes() { out_ += ']'; }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  void add(std::string_view key, std::string_view value) {
    begin(key);
    out_ += R"("stringValue":)";
    append_json(out_, value);
    out_ += "}}";
  }
  void add_bool(std::string_view key, bool value) {
    begin(key);
    out_ += value ? R"("boolValue":true}})" : R"("boolValue":false}})";
  }
  void add_number(std::string_view key, std::int64_t value) {  // 64 bits travel as text
    begin(key);
    out_ += R"("intValue":")" + std::to_string(value) + R"("}})";
  }

 private:
  void begin(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += R"({"key":)";
    append_json(out_, key);
    out_ += R"(,"value":{)";
  }

  std::string& out_;
  bool first_ = true;
};

void append_time(std::string& out, std::string_view key, base::WallTime time) {
  out += R"(,")";
  out += key;
  out += R"(":")" + std::to_string(time.time_since_epoch().count()) + '"';
}

// What all spans have, from "{" on.
void begin_span(std::string& out, const CallTrace& call, const meter::SpanId& id, std::string_view name, int kind,
                base::WallTime begin, base::WallTime end) {
  out += R"({"traceId":")" + meter::hex_of(call.context.trace) + R"(","spanId":")" + meter::hex_of(id) + R"(","name":)";
  append_json(out, name);
  out += R"(,"kind":)" + std::to_string(kind) + R"(,"flags":)" + std::to_string(call.context.flags);
  if (!call.state.empty()) {
    out += R"(,"traceState":)";
    append_json(out, call.state);
  }
  append_time(out, "startTimeUnixNano", begin);
  append_time(out, "endTimeUnixNano", end);
  out += ',';
}

std::string_view known_method(std::string_view method) {
  constexpr std::array<std::string_view, 9> kKnown = {"GET",     "HEAD",  "POST",  "PUT",    "DELETE",
                                                      "CONNECT", "TRACE", "PATCH", "OPTIONS"};
  const auto* at = std::find(kKnown.begin(), kKnown.end(), method);
  return at == kKnown.end() ? "_OTHER" : *at;
}

// The operation's name among messaging systems, which begins the span's.
std::string_view operation_of(Part part) { return part == Part::kAcceptance ? "send" : "process"; }

int kind_of(Part part) {
  switch (part) {
    case Part::kWhole: break;
    case Part::kAcceptance: return kProducer;
    case Part::kAttempt: return kConsumer;
  }
  return kServer;
}

std::string name_of(const CallTrace& call) {
  std::string name = call.app + "/" + call.function;
  if (call.part == Part::kWhole) return name;
  return std::string(operation_of(call.part)) + " " + name;
}

void append_message(Attributes& attributes, const CallTrace& call) {
  attributes.add("messaging.system", "ebb");
  attributes.add("messaging.operation.name", operation_of(call.part));
  attributes.add("messaging.operation.type", operation_of(call.part));
  attributes.add("messaging.destination.name", call.app + "/" + call.function);
  attributes.add("messaging.message.id", base::to_string(call.id));
  attributes.add_number("messaging.message.body.size", static_cast<std::int64_t>(call.event_bytes));
  if (call.part == Part::kAttempt) attributes.add_number("ebb.attempt", call.attempt);
}

std::string_view trigger_of(const CallTrace& call) {
  if (call.timer) return "timer";
  if (call.part != Part::kWhole) return "pubsub";
  return call.kind == node::Call::Kind::kHttp ? "http" : "other";
}

void append_attributes(std::string& out, const CallTrace& call) {
  Attributes attributes(out);
  const bool http = call.kind == node::Call::Kind::kHttp;
  attributes.add("faas.invocation_id", base::to_string(call.id));
  attributes.add("faas.trigger", trigger_of(call));
  if (call.part != Part::kWhole) append_message(attributes, call);
  if (call.phases.handler > base::Duration::zero()) {
    attributes.add_bool("faas.coldstart", call.phases.rung > model::Rung::kSpare);
    attributes.add("ebb.rung", model::name_of(call.phases.rung));
  }
  if (http) {
    const std::string_view known = known_method(call.method);
    attributes.add("http.request.method", known);
    if (known != call.method) attributes.add("http.request.method_original", call.method);
    attributes.add("http.route", "/fn/" + call.app + "/" + call.function);
    attributes.add("url.path", call.path);
    attributes.add("url.scheme", call.over_tls ? "https" : "http");
    attributes.add("client.address", call.client);
  }
  // Nobody is answered by an attempt.
  if (call.status != 0 && call.part != Part::kAttempt) attributes.add_number("http.response.status_code", call.status);
  if (!call.error.empty()) attributes.add("error.type", call.error);
}

void append_call(std::string& out, const CallTrace& call) {
  begin_span(out, call, call.context.span, name_of(call), kind_of(call.part), call.arrived, call.arrived + call.total);
  if (call.parent) out += R"("parentSpanId":")" + meter::hex_of(*call.parent) + R"(",)";
  if (call.parent && call.part == Part::kAttempt) {
    out += R"("links":[{"traceId":")" + meter::hex_of(call.context.trace) + R"(","spanId":")" +
           meter::hex_of(*call.parent) + R"("}],)";
  }
  append_attributes(out, call);
  if (!call.error.empty() || call.status >= 500) {
    out += R"(,"status":{"code":)" + std::to_string(kStatusError);
    if (!call.error_message.empty()) {
      out += R"(,"message":)";
      append_json(out, call.error_message);
    }
    out += '}';
  }
  out += '}';

  struct Phase {
    std::string_view name;
    base::Duration time;
  };
  const node::Phases& phases = call.phases;
  const std::array<Phase, kHandlerSpan> all = {
      Phase{"queue", phases.queue}, {"start", phases.start}, {"init", phases.init}, {"handler", phases.handler}};
  base::WallTime begin = call.arrived;
  for (unsigned i = 0; i < all.size(); ++i) {
    if (all[i].time <= base::Duration::zero()) continue;
    out += ',';
    begin_span(out, call, meter::child_of(call.context.span, i + 1), all[i].name, kInternal, begin,
               begin + all[i].time);
    out += R"("parentSpanId":")" + meter::hex_of(call.context.span) + R"("})";
    begin += all[i].time;
  }
}

void append_resource(std::string& out, const CallTrace& call, std::string_view host) {
  out += R"({"resource":{)";
  {
    Attributes attributes(out);
    attributes.add("service.name", call.function);
    attributes.add("service.namespace", call.app);
    attributes.add("faas.name", call.app + "/" + call.function);
    if (call.version_number != 0) {
      attributes.add("service.version", std::to_string(call.version_number));
      attributes.add("faas.version", std::to_string(call.version_number));
    }
    attributes.add("host.name", host);
  }
  out += R"(},"scopeSpans":[{"scope":{"name":"ebb","version":")" EBB_VERSION R"("},"spans":[)";
}

}  // namespace

std::string otlp_json(std::span<const CallTrace> calls, std::string_view host) {
  std::map<std::tuple<std::string_view, std::string_view, std::uint32_t>, std::vector<const CallTrace*>> resources;
  for (const CallTrace& call : calls) resources[{call.app, call.function, call.version_number}].push_back(&call);
  std::string out;
  out.reserve(256 + calls.size() * 2048);
  out += R"({"resourceSpans":[)";
  bool first = true;
  for (const auto& [version, of_version] : resources) {
    if (!first) out += ',';
    first = false;
    append_resource(out, *of_version.front(), host);
    for (std::size_t i = 0; i < of_version.size(); ++i) {
      if (i > 0) out += ',';
      append_call(out, *of_version[i]);
    }
    out += "]}]}";
  }
  out += "]}";
  return out;
}

}  // namespace ebb::gateway
