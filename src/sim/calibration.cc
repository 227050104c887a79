#include "sim/calibration.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <map>

#include "base/limits_spares.h"
#include "sim/formatted.h"

namespace ebb::sim {
namespace {

namespace json = boost::json;

// From here on a node keeps a spare; below it are the hooks of what is forked loaded.
constexpr double kLongLoadingMs = std::chrono::duration<double, std::milli>(limits::kSpareLoading).count();
const std::vector<double> kQuantiles = {0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1};

std::optional<double> number(const json::value* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

base::Result<Curve> curve_of(const json::object& object, std::string_view key) {
  const auto wrong = [&] {
    return base::invalid_argument("calibration key " + std::string(key) +
                                  " must be a list of [quantile, value] with quantiles from 0 to 1");
  };
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_array() || value->get_array().empty()) return wrong();
  std::vector<Curve::Point> points;
  for (const json::value& item : value->get_array()) {
    if (!item.is_array() || item.get_array().size() != 2) return wrong();
    const auto quantile = number(&item.get_array()[0]);
    const auto amount = number(&item.get_array()[1]);
    if (!quantile || !amount || *quantile < 0 || *quantile > 1 || *amount < 0) return wrong();
    points.push_back({.quantile = *quantile, .value = *amount});
  }
  return Curve(std::move(points));
}

base::Result<json::object> object_of(std::string_view text, const char* what) {
  boost::system::error_code failure;
  json::value value = json::parse({text.data(), text.size()}, failure);
  if (failure || !value.is_object()) return base::invalid_argument(std::string(what) + " is not a JSON object");
  return std::move(value.get_object());
}

}  // namespace

base::Result<Calibration> parse_calibration(std::string_view text) {
  EBB_TRY(const json::object object, object_of(text, "the calibration"));
  Calibration calibration;
  if (const json::value* where = object.if_contains("measured_on"); where != nullptr && where->is_string())
    calibration.measured_on = std::string(where->get_string());
  EBB_TRY(calibration.idle_ms, curve_of(object, "idle_ms"));
  EBB_TRY(calibration.fork_ms, curve_of(object, "fork_ms"));
  EBB_TRY(calibration.runtime_ms, curve_of(object, "runtime_ms"));
  EBB_TRY(calibration.boot_ms, curve_of(object, "boot_ms"));
  EBB_TRY(calibration.init_ms, curve_of(object, "init_ms"));
  calibration.program_ms = default_calibration().program_ms;  // files of before spares have none
  if (object.contains("program_ms")) {
    EBB_TRY(calibration.program_ms, curve_of(object, "program_ms"));
  }
  const auto runtime = number(object.if_contains("runtime_mb"));
  const auto instance = number(object.if_contains("instance_mb"));
  if (!runtime || *runtime < 0 || !instance || *instance < 0)
    return base::invalid_argument("calibration keys runtime_mb and instance_mb must be numbers of MB");
  calibration.runtime_mb = *runtime;
  calibration.instance_mb = *instance;
  return calibration;
}

std::string to_json_text(const Calibration& calibration) {
  // By hand: three decimals are enough, and people read and edit the file.
  std::string text = "{\n  \"measured_on\": " + json::serialize(json::value(calibration.measured_on));
  const auto add = [&](const char* key, const Curve& curve) {
    text += std::string(",\n  \"") + key + "\": [";
    for (const Curve::Point& point : curve.points()) {
      text += (&point == &curve.points().front() ? "[" : ", [") + formatted("%.3f, %.3f]", point.quantile, point.value);
    }
    text += "]";
  };
  add("idle_ms", calibration.idle_ms);
  add("fork_ms", calibration.fork_ms);
  add("runtime_ms", calibration.runtime_ms);
  add("boot_ms", calibration.boot_ms);
  add("init_ms", calibration.init_ms);
  add("program_ms", calibration.program_ms);
  return text + ",\n  \"runtime_mb\": " + formatted("%.3f", calibration.runtime_mb) +
         ",\n  \"instance_mb\": " + formatted("%.3f", calibration.instance_mb) + "\n}\n";
}

base::Result<Calibration> calibrate(std::string_view usage_json, const Calibration& base, std::string measured_on,
                                    std::size_t samples_least) {
  EBB_TRY(const json::object object, object_of(usage_json, "the usage document"));
  const json::value* records = object.if_contains("records");
  if (records == nullptr || !records->is_array())
    return base::invalid_argument("the usage document has no list of records: give what `ebb usage --json` prints");
  std::map<std::string, std::vector<double>> starts;
  std::vector<double> inits;
  std::vector<double> programs;
  for (const json::value& record : records->get_array()) {
    if (!record.is_object()) continue;
    const json::object& one = record.get_object();
    const json::value* rung = one.if_contains("rung");
    const json::value* state = one.if_contains("state");
    const auto queue = number(one.if_contains("queue_ms"));
    const auto start = number(one.if_contains("start_ms"));
    const auto init = number(one.if_contains("init_ms"));
    if (rung == nullptr || !rung->is_string() || state == nullptr || *state != "closed" || !queue || !start || !init)
      continue;
    starts[std::string(rung->get_string())].push_back(*queue + *start);
    if (*init > 0 && (*rung == "runtime" || *rung == "boot")) inits.push_back(*init);
    if (*rung == "fork" && *init >= kLongLoadingMs) programs.push_back(*init);
  }
  if (starts.empty())
    return base::invalid_argument("the usage document holds no finished call: call some functions first");
  Calibration calibration = base;
  calibration.measured_on = std::move(measured_on);
  const auto take = [&](Curve& curve, std::vector<double>& samples) {
    if (samples.size() >= std::max<std::size_t>(1, samples_least))
      curve = Curve::of_samples(std::move(samples), kQuantiles);
  };
  take(calibration.idle_ms, starts["idle"]);
  take(calibration.fork_ms, starts["fork"]);
  take(calibration.runtime_ms, starts["runtime"]);
  take(calibration.boot_ms, starts["boot"]);
  take(calibration.init_ms, inits);
  take(calibration.program_ms, programs);
  return calibration;
}

}  // namespace ebb::sim
