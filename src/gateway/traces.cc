#include "gateway/traces.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <utility>

#include "base/limits_trace.h"
#include "base/log.h"
#include "http/client.h"
#include "http/head.h"
#include "meter/prometheus_text.h"

namespace ebb::gateway {
namespace {

constexpr std::size_t kHeadersFileBytes = 16 * 1024;

std::string cut(std::string_view text) { return std::string(text.substr(0, limits::kTraceTextBytes)); }

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

base::Result<http::Headers> read_headers_file(const std::string& path) {
  if (path.empty()) return http::Headers();
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::not_found("otlp_headers_file " + path + " cannot be read by the daemon's account");
  std::string text(kHeadersFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kHeadersFileBytes) return base::invalid_argument("otlp_headers_file " + path + " is too long");
  auto headers = parse_header_lines(text);
  if (!headers) return base::invalid_argument("otlp_headers_file " + path + ": " + headers.error().message);
  return headers;
}

// A Retry-After of whole seconds; a date is as good as none.
base::Duration retry_after(const http::Headers& headers) {
  const std::string_view text = headers.get("retry-after");
  std::uint32_t seconds = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (failed != std::errc() || end != text.data() + text.size()) return base::Duration::zero();
  return std::min<base::Duration>(std::chrono::seconds(seconds), limits::kTraceBackoffMax);
}

template <typename Client>
io::Task<base::Result<>> traced(std::function<io::Task<base::Result<>>(Client&)> relay,
                                std::shared_ptr<OpenTrace> trace, Client& client) {
  const base::Result<> ended = co_await relay(client);
  trace->end_stream(ended);
  co_return ended;
}

}  // namespace

OpenTrace::OpenTrace(Traces& traces, CallTrace call, base::SteadyTime arrived)
    : traces_(traces), call_(std::move(call)), arrived_(arrived) {}

OpenTrace::~OpenTrace() {
  if (ended_) return;
  const bool nobody_waits = call_.part == CallTrace::Part::kAttempt;
  fail(base::Error{.code = base::Code::kCancelled,
                   .message = nobody_waits ? "the node is stopping" : "the caller went away"});
  end();
}

void OpenTrace::fail(const base::Error& error) {
  call_.error = base::name_of(error.code);
  call_.error_message = cut(error.message);
}

void OpenTrace::answered(const node::Reply& reply) {
  answered_ = true;
  call_.phases = reply.phases;
  call_.version_number = reply.version_number;
  call_.status = reply.error ? base::http_status_of(reply.error->code) : reply.status;
  if (reply.error) fail(*reply.error);
}

void OpenTrace::accepted(const base::Result<node::AcceptedCall>& how) {
  call_.status = how ? 202 : base::http_status_of(how.error().code);
  if (!how) fail(how.error());
  end();
}

void OpenTrace::end() {
  ended_ = true;
  call_.total = base::steady_now() - arrived_;
  traces_.record(std::move(call_));
}

void OpenTrace::end_stream(const base::Result<>& how) {
  const node::Phases& phases = call_.phases;
  call_.phases.handler = base::steady_now() - arrived_ - phases.queue - phases.start - phases.init;
  if (!how) fail(how.error());
  end();
}

void trace_to_the_end(std::shared_ptr<OpenTrace> trace, node::Reply& reply) {
  trace->answered(reply);
  if (reply.stream) {
    reply.stream = [trace = std::move(trace), relay = std::move(reply.stream)](http::BodyWriter& writer) {
      return traced(relay, trace, writer);
    };
  } else if (reply.tunnel) {
    reply.tunnel = [trace = std::move(trace), relay = std::move(reply.tunnel)](http::Tunnel& client) {
      return traced(relay, trace, client);
    };
  } else {
    trace->end();
  }
}

base::Result<std::optional<Traces::Options>> Traces::options(const model::Config& config) {
  EBB_TRY(http::Headers headers, read_headers_file(config.otlp_headers_file));
  if (config.otlp_traces_endpoint.empty()) return std::optional<Options>();
  if (const auto url = http::check_url(config.otlp_traces_endpoint); !url) {
    return base::invalid_argument("otlp_traces_endpoint: " + url.error().message);
  }
  return std::optional<Options>({.endpoint = config.otlp_traces_endpoint,
                                 .headers = std::move(headers),
                                 .sample_ratio = config.trace_sample_ratio,
                                 .host = host_name()});
}

base::Result<std::unique_ptr<Traces>> Traces::start(const model::Config& config) {
  EBB_TRY(std::optional<Options> options, Traces::options(config));
  if (!options) return std::unique_ptr<Traces>();
  return std::make_unique<Traces>(*std::move(options));
}

Traces::Traces(Options options)
    : options_(std::move(options)), jitter_(std::random_device()()), thread_([this] { run(); }) {}

Traces::~Traces() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::shared_ptr<OpenTrace> Traces::begin(node::Call& call, http::Headers& headers, CallTrace::Part part) {
  std::optional<meter::TraceContext> caller;
  if (headers.count("traceparent") == 1) caller = meter::parse_traceparent(headers.get("traceparent"));
  std::string state = tracestate_of(headers);
  if (!caller || state.empty()) headers.remove("tracestate");  // it says nothing without its traceparent
  if (!caller) state.clear();

  CallTrace traced{
      .part = part, .context = caller ? *caller : meter::begin_trace(call.id, options_.sample_ratio), .state = state};
  const bool sampled = traced.context.sampled();
  if (!caller || sampled) {
    if (caller) traced.parent = caller->span;
    traced.context.span = meter::new_span_id();
    meter::TraceContext told = traced.context;
    // Attempts continue from the acceptance itself.
    if (sampled && part != CallTrace::Part::kAcceptance) told.span = meter::child_of(told.span, kHandlerSpan);
    call.traceparent = meter::traceparent_of(told);
    headers.set("traceparent", call.traceparent);
  } else {
    call.traceparent = headers.get("traceparent");
  }
  call.tracestate = std::move(state);
  if (!sampled) return nullptr;

  traced.id = call.id;
  traced.app = call.app;
  traced.function = call.function;
  traced.kind = call.kind;
  traced.arrived = base::wall_now() - (base::steady_now() - call.arrived);
  traced.attempt = call.attempt;
  traced.timer = !call.timer.empty();
  traced.event_bytes = call.body.size();
  if (call.kind == node::Call::Kind::kHttp) {
    traced.method = cut(call.request.method);
    traced.path = cut(call.request.path);
    traced.client = call.client_address();
    traced.over_tls = call.over_https();
  }
  return std::make_shared<OpenTrace>(*this, std::move(traced), call.arrived);
}

io::Task<node::Reply> Traces::attempt(Traces& traces, node::Node& node, node::Call call) {
  http::Headers kept;
  if (!call.traceparent.empty()) kept.add("traceparent", std::exchange(call.traceparent, {}));
  if (!call.tracestate.empty()) kept.add("tracestate", std::exchange(call.tracestate, {}));
  std::shared_ptr<OpenTrace> trace = traces.begin(call, kept, CallTrace::Part::kAttempt);
  const std::shared_ptr<std::optional<model::Outcome>> outcome = call.outcome;
  node::Reply reply = co_await node.invoke(std::move(call));
  if (!trace) co_return reply;
  const bool got_an_instance = outcome && *outcome;
  if (!got_an_instance && reply.error && reply.error->code == base::Code::kResourceExhausted) {
    trace->drop();
  } else {
    trace_to_the_end(std::move(trace), reply);
  }
  co_return reply;
}

void Traces::record(CallTrace call) {
  bool wakes = false;
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= limits::kTracesQueued) {
      dropped_full_.add();
      return;
    }
    queue_.push_back(std::move(call));
    wakes = queue_.size() == 1 || queue_.size() == limits::kTraceBatch;  // each is a system call
  }
  if (wakes) changed_.notify_one();
}

std::string Traces::metrics_text() const {
  std::string out;
  meter::append_counter(out, "ebb_traces_exported_total", "Calls whose spans the collector has taken.",
                        exported_.value());
  meter::append_head(out, "ebb_traces_dropped_total", "counter", "Sampled calls whose spans were not exported.");
  for (const auto& [reason, dropped] : {std::pair(R"(reason="queue_full")", dropped_full_.value()),
                                        std::pair(R"(reason="undelivered")", dropped_undelivered_.value())}) {
    meter::append_sample(out, "ebb_traces_dropped_total", reason, std::to_string(dropped));
  }
  return out;
}

void Traces::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait_for(lock, limits::kTraceStopWait, [this] { return done_; });
}

void Traces::run() {
  for (;;) {
    const std::vector<CallTrace> batch = next_batch();
    if (batch.empty()) break;
    deliver(batch);
  }
  std::lock_guard lock(mutex_);
  done_ = true;
  changed_.notify_all();
}

// Empty when it is time to end.
std::vector<CallTrace> Traces::next_batch() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  changed_.wait_for(lock, limits::kTraceBatchWait,
                    [this] { return stopping_ || queue_.size() >= limits::kTraceBatch; });
  const auto count = static_cast<std::ptrdiff_t>(std::min(queue_.size(), limits::kTraceBatch));
  std::vector<CallTrace> batch(std::make_move_iterator(queue_.begin()),
                               std::make_move_iterator(queue_.begin() + count));
  queue_.erase(queue_.begin(), queue_.begin() + count);
  return batch;
}

void Traces::deliver(const std::vector<CallTrace>& batch) {
  const std::string body = otlp_json(batch, options_.host);
  const base::SteadyTime give_up = base::steady_now() + limits::kTraceRetryMax;
  base::Duration backoff = limits::kTraceBackoffMin;
  for (;;) {
    base::Duration wait = base::Duration::zero();
    const Sent sent = send(body, wait);
    if (sent == Sent::kTaken) {
      exported_.add(batch.size());
      if (std::exchange(failing_, false)) base::log(base::LogLevel::kInfo, "traces_exported_again");
      return;
    }
    // From half of it to the whole, so that many nodes do not come back at once.
    const std::int64_t half = backoff.count() / 2;
    wait = std::max(wait, base::Duration(half + std::uniform_int_distribution<std::int64_t>(0, half)(jitter_)));
    backoff = std::min<base::Duration>(2 * backoff, limits::kTraceBackoffMax);
    if (sent == Sent::kRefused || base::steady_now() + wait > give_up || !pause(wait)) break;
  }
  dropped_undelivered_.add(batch.size());
}

// What may be sent again is OTLP's list.
Traces::Sent Traces::send(const std::string& body, base::Duration& wait) {
  http::ClientRequest request{.method = "POST", .url = options_.endpoint, .headers = options_.headers, .body = body};
  request.headers.add("Content-Type", "application/json");
  request.body_bytes_max = limits::kTraceAnswerBytes;
  const auto answer = http::fetch(std::move(request), limits::kTraceSendTimeout);
  if (!answer) {
    tell_failure(answer.error().message);
    return Sent::kLater;
  }
  if (answer->status >= 200 && answer->status < 300) return Sent::kTaken;
  tell_failure("it answered " + std::to_string(answer->status));
  wait = retry_after(answer->headers);
  const bool later = answer->status == 429 || answer->status == 502 || answer->status == 503 || answer->status == 504;
  return later ? Sent::kLater : Sent::kRefused;
}

void Traces::tell_failure(const std::string& why) {
  if (std::exchange(failing_, true)) return;
  base::log(base::LogLevel::kWarning, "traces_not_exported",
            {{"endpoint", options_.endpoint}, {"error", why}, {"effect", "calls go on, traces may be dropped"}});
}

// False when the daemon stops.
bool Traces::pause(base::Duration wait) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, wait, [this] { return stopping_; });
}

std::string traceparent_of(const http::Headers& headers) {
  if (headers.count("traceparent") != 1) return {};
  const std::string_view text = headers.get("traceparent");
  return meter::parse_traceparent(text) ? std::string(text) : std::string();
}

std::string tracestate_of(const http::Headers& headers) {
  std::string all;
  for (const http::Header& header : headers) {
    if (!http::same_name(header.name, "tracestate") || http::trimmed(header.value).empty()) continue;
    if (!all.empty()) all += ',';
    all += http::trimmed(header.value);
  }
  return all.size() <= limits::kTraceStateBytes ? all : std::string();
}

base::Result<http::Headers> parse_header_lines(std::string_view text) {
  http::Headers headers;
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view one = text.substr(0, end);
    if (one.ends_with('\r')) one.remove_suffix(1);
    one = http::trimmed(one);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.empty() || one.front() == '#') continue;
    const std::size_t colon = std::min(one.find(':'), one.size());
    const std::string_view name = http::trimmed(one.substr(0, colon));
    const std::string_view value = http::trimmed(one.substr(std::min(colon + 1, one.size())));
    if (colon == one.size() || !http::is_header_name(name) || !http::is_header_value(value) || value.empty()) {
      return base::invalid_argument("line " + std::to_string(line) + " is no header, write Name: value");
    }
    headers.add(std::string(name), std::string(value));
    if (headers.size() > limits::kTraceHeaders) {
      return base::invalid_argument("there are more than " + std::to_string(limits::kTraceHeaders) + " headers");
    }
  }
  return headers;
}

}  // namespace ebb::gateway
