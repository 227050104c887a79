#include "replay/remote.h"

#include <boost/json/array.hpp>
#include <charconv>
#include <set>

#include "base/limits.h"

namespace ebb::replay {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookLimit = 60s;
constexpr double kMb = 1 << 20;

/// The value of a label in `{app="x",function="y"}`; names of apps and functions hold nothing that is escaped.
std::string label(std::string_view labels, std::string_view name) {
  const std::string wanted = std::string(name) + "=\"";
  const auto at = labels.find(wanted);
  if (at == std::string_view::npos) return {};
  const auto begin = at + wanted.size();
  return std::string(labels.substr(begin, labels.find('"', begin) - begin));
}

struct Sample {
  std::string_view name;
  std::string_view labels;
  double value = 0;
};

bool read_sample(std::string_view line, Sample& sample) {
  if (line.empty() || line.front() == '#') return false;
  const auto space = line.rfind(' ');
  if (space == std::string_view::npos) return false;
  const std::string_view value = line.substr(space + 1);
  if (std::from_chars(value.data(), value.data() + value.size(), sample.value).ec != std::errc()) return false;
  const std::string_view head = line.substr(0, space);
  const auto brace = head.find('{');
  sample.name = head.substr(0, brace);
  sample.labels = brace == std::string_view::npos ? std::string_view() : head.substr(brace);
  return true;
}

void count_held(const Sample& sample, Reading& reading) {
  const double gb_seconds = sample.value / kMb / 1024;
  reading.held_gb_seconds += gb_seconds;
  if (label(sample.labels, "tier") == "spare") reading.spare_gb_seconds += gb_seconds;
}

Record record_of(const boost::json::object& object) {
  return {.request_id = cli::text_of(object, "request_id"),
          .function = cli::text_of(object, "function"),
          .app = cli::text_of(object, "app"),
          .rung = cli::text_of(object, "rung"),
          .outcome = cli::text_of(object, "outcome"),
          .closed = cli::text_of(object, "state") == "closed",
          .queue_ms = cli::number_of(object, "queue_ms"),
          .start_ms = cli::number_of(object, "start_ms"),
          .init_ms = cli::number_of(object, "init_ms"),
          .handler_ms = cli::number_of(object, "handler_ms"),
          .memory_peak_mb = cli::number_of(object, "memory_peak_bytes") / kMb,
          .cpu_ms = cli::number_of(object, "cpu_ms")};
}

}  // namespace

base::Result<Reading> parse_metrics(std::string_view text, const std::vector<std::string>& apps) {
  Reading reading;
  const std::set<std::string, std::less<>> wanted(apps.begin(), apps.end());
  std::set<std::string_view> seen;
  while (!text.empty()) {
    const auto end = text.find('\n');
    Sample sample;
    const bool is_sample = read_sample(text.substr(0, end), sample);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!is_sample) continue;
    seen.insert(sample.name);
    const std::string app = label(sample.labels, "app");
    if (sample.name == "ebb_memory_budget_bytes") reading.memory_budget_mb = sample.value / kMb;
    if (sample.name == "ebb_keep_alive_price") reading.keep_alive_price = sample.value;
    if (sample.name == "ebb_processors") reading.processors = sample.value;
    if (sample.name == "ebb_spares_max") reading.spares_most = static_cast<std::uint32_t>(sample.value);
    if (!wanted.contains(app)) continue;
    if (sample.name == "ebb_memory_held_byte_seconds_total") count_held(sample, reading);
    if (sample.name == "ebb_runtime_memory_bytes") reading.runtime_mb[app] = sample.value / kMb;
    if (sample.name == "ebb_zygote_memory_bytes")
      reading.zygote_mb[{app, label(sample.labels, "function")}] = sample.value / kMb;
  }
  for (const std::string_view name :
       {"ebb_memory_budget_bytes", "ebb_keep_alive_price", "ebb_processors", "ebb_spares_max"}) {
    if (!seen.contains(name))
      return base::invalid_argument("this node does not tell " + std::string(name) +
                                    " in /metrics: it is older than this command, bring both to one version");
  }
  return reading;
}

io::Task<base::Result<http::ClientResponse>> Remote::send(http::ClientRequest request, base::Duration limit) const {
  return rest_.async_send(std::move(request), limit);
}

io::Task<base::Result<cli::Rest::Document>> Remote::get(std::string path) const {
  return rest_.async_get(std::move(path));
}

io::Task<base::Result<Reading>> Remote::metrics(std::vector<std::string> apps) const {
  http::ClientRequest request;
  request.url = "/metrics";
  const base::Result<http::ClientResponse> response = co_await send(std::move(request), kLookLimit);
  if (!response) co_return response.error();
  if (response->status != 200) co_return cli::error_of(*response);
  co_return parse_metrics(response->body, apps);
}

io::Task<base::Result<>> Remote::expect_no_app(std::string app) const {
  std::string path = "/api/v1/functions?app=" + cli::encoded(app);
  const base::Result<cli::Rest::Document> found = co_await get(std::move(path));
  if (found) {
    co_return base::Error{.code = base::Code::kConflict,
                          .message = "there is an app " + app + " already: remove it with ebb rm " + app +
                                     ", or replay under another name with --app"};
  }
  if (found.error().code == base::Code::kNotFound) co_return base::Result<>();
  co_return found.error();
}

// Halves the time until each piece fits into one answer.
io::Task<base::Result<std::vector<Record>>> Remote::records(std::string app, base::WallTime since,
                                                            base::WallTime until) const {
  constexpr auto kShortest = 2ms;  // times are told in milliseconds
  std::vector<std::pair<base::WallTime, base::WallTime>> pieces{{since, until}};
  std::vector<Record> records;
  while (!pieces.empty()) {
    const auto [from, to] = pieces.back();
    pieces.pop_back();
    std::string path = "/api/v1/usage?app=" + cli::encoded(app) + "&since=" + cli::encoded(base::to_rfc3339(from)) +
                       "&until=" + cli::encoded(base::to_rfc3339(to)) +
                       "&limit=" + std::to_string(limits::kUsagePageRecords);
    const base::Result<cli::Rest::Document> page = co_await get(std::move(path));
    if (!page) co_return page.error();
    const auto* list = page->object.if_contains("records");
    const auto* totals = page->object.if_contains("totals");
    if (list == nullptr || !list->is_array() || totals == nullptr || !totals->is_object())
      co_return base::internal("the node's usage is not what this command knows: bring both to one version");
    const bool all = cli::count_of(totals->get_object(), "invocations") <= list->get_array().size();
    if (!all && to - from > kShortest) {
      // Halves at whole milliseconds, so that each record is in one of them.
      const auto middle = std::chrono::floor<std::chrono::milliseconds>(from + (to - from) / 2);
      pieces.emplace_back(from, middle);
      pieces.emplace_back(middle, to);
      continue;
    }
    for (const boost::json::value& value : list->get_array()) {
      if (value.is_object()) records.push_back(record_of(value.get_object()));
    }
  }
  co_return records;
}

io::Task<base::Result<std::string>> Remote::usage_text() const {
  std::string path = "/api/v1/usage?limit=" + std::to_string(limits::kUsagePageRecords);
  base::Result<cli::Rest::Document> page = co_await get(std::move(path));
  if (!page) co_return page.error();
  co_return std::move(page->text);
}

}  // namespace ebb::replay
