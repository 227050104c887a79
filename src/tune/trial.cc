#include "tune/trial.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "base/limits.h"
#include "io/deadline.h"

namespace ebb::tune {
namespace {

using namespace std::chrono_literals;

constexpr auto kMakeLimit = 30s;
constexpr auto kRecordLimit = 10s;  // from an answer to its closed record
constexpr auto kRecordLook = 50ms;
constexpr double kMb = 1 << 20;

double milliseconds_since(base::SteadyTime begin) { return base::milliseconds(base::steady_now() - begin); }

/// Of `{app="x",function="y"}` in a Prometheus text; 0 without such a line.
double metric_of(std::string_view text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string_view::npos ? 0 : std::strtod(text.data() + at + name.size() + 2, nullptr);
}

}  // namespace

Trial::Trial(io::asio::io_context& context, const cli::Rest& rest, TrialOptions options, const cli::Terminal& terminal)
    : context_(context), rest_(rest), options_(std::move(options)), line_(terminal.err && !options_.quiet) {}

std::string Trial::base_path() const { return "/api/v1/apps/" + options_.app + "/functions/" + options_.function; }

io::Task<> Trial::perform(Trial& self) {
  base::Result<std::vector<Measured>> outcome = co_await self.run();
  self.line_.clear();
  self.result_ = std::move(outcome);
  self.context_.stop();
}

io::Task<base::Result<std::vector<Measured>>> Trial::run() {
  base::Result<> step = co_await look();
  if (step && options_.memories.empty()) step = co_await choose_memories();
  if (step) step = co_await make_versions();
  if (step) step = co_await call_in_turns();
  if (step) step = co_await read_records();
  if (!step) co_return step.error();
  std::vector<Measured> all;
  for (Tried& one : tried_) all.push_back(std::move(one.measured));
  co_return all;
}

io::Task<base::Result<>> Trial::look() {
  std::string path = "/api/v1/functions?app=" + options_.app;
  const base::Result<cli::Rest::Document> listed = co_await rest_.async_get(std::move(path));
  if (!listed) co_return listed.error();
  const boost::json::object* found = nullptr;
  for (const auto* one : cli::objects_in(listed->object, "functions")) {
    const bool newer = found == nullptr || cli::count_of(*one, "version") > cli::count_of(*found, "version");
    if (cli::text_of(*one, "function") == options_.function && newer) found = one;
  }
  const auto* spec = found != nullptr ? found->if_contains("spec") : nullptr;
  if (spec == nullptr || !spec->is_object()) {
    co_return base::not_found("there is no function " + options_.app + "/" + options_.function + ", `ebb ls " +
                              options_.app + "` shows what is deployed");
  }
  const std::string runtime = cli::text_of(spec->get_object(), "runtime");
  if (options_.path.empty() && (runtime == "http" || runtime == "model")) {
    co_return base::invalid_argument(options_.app + "/" + options_.function +
                                     " takes HTTP requests and no events: say which with --path /...");
  }
  EBB_CO_TRY(current_.memory, base::parse_bytes(cli::text_of(spec->get_object(), "memory")));
  current_.cpu_millis = static_cast<std::uint32_t>(cli::number_of(spec->get_object(), "cpu") * 1000 + 0.5);
  current_version_ = cli::count_of(*found, "version");
  http::ClientRequest request;
  request.url = "/metrics";
  const base::Result<http::ClientResponse> metrics = co_await rest_.async_send(std::move(request), kMakeLimit);
  if (!metrics) co_return metrics.error();
  if (metrics->status != 200) co_return cli::error_of(*metrics);
  if (options_.cpu_millis.empty()) {
    options_.cpu_millis = usual_cpus(metric_of(metrics->body, "ebb_processors"), current_.cpu_millis);
  }
  zygote_mb_ = metric_of(metrics->body, "ebb_zygote_memory_bytes{app=\"" + options_.app + "\",function=\"" +
                                            options_.function + "\"}") /
               kMb;
  co_return base::Result<>();
}

io::Task<base::Result<>> Trial::choose_memories() {
  line_.show("a first call, for the memory it needs");
  double ignored = 0;
  base::Result<std::string> request = co_await call(current_version_, &ignored);
  if (!request) co_return request.error();
  const base::Result<Sample> first = co_await record_of(*std::move(request));
  if (!first) co_return first.error();
  if (!first->ok) {
    co_return base::Error{.code = base::Code::kFunctionFailed,
                          .message = "the first call ended with " + first->outcome +
                                     ": give an event that it can answer (--data, --data-file, --path)"};
  }
  options_.memories = {enough_memory(std::max(first->peak_mb, zygote_mb_))};
  if (options_.memories.front() != current_.memory) options_.memories.push_back(current_.memory);
  co_return base::Result<>();
}

io::Task<base::Result<>> Trial::make_versions() {
  std::vector<Size> sizes;
  for (const std::uint32_t cpu : options_.cpu_millis) {
    for (const base::Bytes memory : options_.memories) sizes.push_back({memory, cpu});
  }
  if (sizes.size() > limits::kTuneSizes) {
    co_return base::invalid_argument(std::to_string(sizes.size()) + " sizes are to be tried, the limit is " +
                                     std::to_string(limits::kTuneSizes) + ": name fewer with --memory and --cpu");
  }
  std::sort(sizes.begin(), sizes.end(), [](const Size& a, const Size& b) {
    return std::pair(a.cpu_millis, a.memory.count) < std::pair(b.cpu_millis, b.memory.count);
  });
  for (const Size& size : sizes) {
    http::ClientRequest request{.method = "POST"};
    request.url = base_path() + "/versions";
    request.headers.add("Content-Type", "application/json");
    request.body = boost::json::serialize(
        boost::json::object{{"memory", base::to_string(size.memory)}, {"cpu", cpu_text(size.cpu_millis)}});
    const base::Result<http::ClientResponse> answer = co_await rest_.async_send(std::move(request), kMakeLimit);
    if (!answer) co_return answer.error();
    if (answer->status != 201) co_return cli::error_of(*answer);
    EBB_CO_TRY(const boost::json::object version, cli::json_object(answer->body));
    const std::uint64_t number = cli::count_of(version, "version");
    made_.push_back(base_path() + "/versions/" + std::to_string(number));
    tried_.push_back({.measured = {.size = size, .current = size == current_}, .version = number});
  }
  co_return base::Result<>();
}

// In turns, so that what else the machine does falls on all sizes alike.
io::Task<base::Result<>> Trial::call_in_turns() {
  const std::uint64_t all = tried_.size() * (options_.calls + 1);
  std::uint64_t done = 0;
  for (std::uint32_t round = 0; round <= options_.calls; ++round) {
    for (Tried& one : tried_) {
      line_.show_bar("calling", done++, all);
      double milliseconds = 0;
      base::Result<std::string> request = co_await call(one.version, &milliseconds);
      if (!request) co_return request.error();
      if (round == 0) one.measured.first_ms = milliseconds;
      one.requests.push_back(*std::move(request));
    }
  }
  co_return base::Result<>();
}

io::Task<base::Result<std::string>> Trial::call(std::uint64_t version, double* milliseconds) {
  http::ClientRequest request{.method = "POST"};
  if (options_.path.empty()) {
    request.url = base_path() + "/invocations?version=" + std::to_string(version);
    request.headers.add("Content-Type", "application/json");
    request.body = options_.event;
  } else {
    request.method = options_.method;
    request.url = "/fn/" + options_.app + "/" + options_.function + ":" + std::to_string(version) + options_.path;
    if (options_.method != "GET") request.body = options_.event;
  }
  const base::SteadyTime begin = base::steady_now();
  const base::Result<http::ClientResponse> answer =
      co_await rest_.async_send(std::move(request), 2 * limits::kFunctionTimeoutMax);
  if (!answer) co_return answer.error();
  *milliseconds = milliseconds_since(begin);
  const std::string id(answer->headers.get("x-ebb-request-id"));
  if (answer->status == 401 || answer->status == 403 || answer->status == 429) co_return cli::error_of(*answer);
  if (id.empty()) co_return base::internal("the answer names no request: is this address an Ebb?");
  co_return id;
}

io::Task<base::Result<>> Trial::read_records() {
  for (Tried& one : tried_) {
    for (std::size_t i = 1; i < one.requests.size(); ++i) {
      std::string request = one.requests[i];
      base::Result<Sample> sample = co_await record_of(std::move(request));
      if (!sample) co_return sample.error();
      one.measured.samples.push_back(*std::move(sample));
    }
  }
  co_return base::Result<>();
}

io::Task<base::Result<Sample>> Trial::record_of(std::string request) const {
  const base::SteadyTime give_up = base::steady_now() + kRecordLimit;
  for (;;) {
    std::string path = "/api/v1/usage?request=" + request;
    const base::Result<cli::Rest::Document> page = co_await rest_.async_get(std::move(path));
    if (!page) co_return page.error();
    for (const auto* record : cli::objects_in(page->object, "records")) {
      if (cli::text_of(*record, "state") == "open") continue;
      Sample sample{.handler_ms = cli::number_of(*record, "handler_ms"),
                    .cu = std::strtod(cli::text_of(*record, "cu").c_str(), nullptr),
                    .peak_mb = cli::number_of(*record, "memory_peak_bytes") / kMb,
                    .outcome = cli::text_of(*record, "outcome")};
      sample.ok = sample.outcome == "ok";
      co_return sample;
    }
    if (base::steady_now() > give_up) {
      co_return base::internal("the usage record of request " + request + " is not there after " +
                               base::to_string(base::Duration(kRecordLimit)));
    }
    co_await io::sleep_for(kRecordLook);
  }
}

}  // namespace ebb::tune
