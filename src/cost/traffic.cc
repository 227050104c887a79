#include "cost/traffic.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <charconv>
#include <chrono>
#include <cmath>

#include "cli/rest.h"
#include "meter/cu.h"
#include "meter/price_list.h"

namespace ebb::cost {
namespace {

constexpr double kMicro = 1e6;
constexpr double kGb = 1024.0 * 1024 * 1024;
constexpr double kMinuteMs = 60'000;
constexpr double kLeastMemoryMb = 16;
constexpr std::int64_t kMinutesMost = 366 * 24 * 60;
// CU of a second asleep, as those that the records' own CU are computed with.
constexpr auto kSleepingVcpu = static_cast<double>(meter::Weights{}.sleeping_vcpu_second) / kMicro;
constexpr auto kSleepingGib = static_cast<double>(meter::Weights{}.sleeping_gib_second) / kMicro;

/// "2026-11-24T03:54:10.123Z" in minutes since 1970.
std::optional<std::int64_t> minute_of(std::string_view text) {
  constexpr std::array<std::size_t, 5> kAt = {0, 5, 8, 11, 14};
  constexpr std::array<std::size_t, 5> kDigits = {4, 2, 2, 2, 2};
  std::array<unsigned, 5> parts{};
  if (text.size() < 16) return std::nullopt;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const char* begin = text.data() + kAt[i];
    const auto [end, failed] = std::from_chars(begin, begin + kDigits[i], parts[i]);
    if (failed != std::errc() || end != begin + kDigits[i]) return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(parts[0])), std::chrono::month(parts[1]),
                                         std::chrono::day(parts[2])};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count() * std::int64_t{24 * 60} + parts[3] * 60 + parts[4];
}

/// Of the minute, with its fraction.
double second_of(std::string_view text) {
  return text.size() > 17 ? std::strtod(std::string(text.substr(17, 6)).c_str(), nullptr) : 0;
}

}  // namespace

double Traffic::calls() const {
  double sum = 0;
  for (const Minute& minute : minutes) sum += minute.calls;
  return sum;
}

double Traffic::cu() const {
  double sum = 0;
  for (const Minute& minute : minutes) sum += minute.cu;
  return sum;
}

bool Traffic::has_held() const {
  return std::any_of(minutes.begin(), minutes.end(), [](const Minute& minute) { return minute.held_gb > 0; });
}

Traffic traffic_of(const sim::Trace& trace, const std::string& name, const Given& given) {
  Traffic traffic{.source = name, .minutes = std::vector<Minute>(trace.minutes)};
  for (const sim::TraceFunction& function : trace.functions) {
    const double run_ms = function.run_ms.mean();
    const double memory_mb = std::max(kLeastMemoryMb, std::ceil(function.memory_mb * given.memory_share));
    const meter::Charge charge =
        meter::charge_for({.outcome = model::Outcome::kOk,
                           .handler_ran = true,
                           .handler = base::Duration(static_cast<std::int64_t>(run_ms * kMicro)),
                           .cpu_millis = static_cast<std::uint32_t>(std::lround(given.cpu * 1000)),
                           .memory_limit = base::Bytes{static_cast<std::uint64_t>(memory_mb * 1024 * 1024)}});
    for (std::size_t i = 0; i < function.per_minute.size() && i < traffic.minutes.size(); ++i) {
      const double calls = function.per_minute[i];
      const double at_once = calls * run_ms / kMinuteMs;
      Minute& minute = traffic.minutes[i];
      minute.calls += calls;
      minute.cu += calls * static_cast<double>(charge.cu_micro) / kMicro;
      minute.vcpu += at_once * given.cpu;
      minute.gb += at_once * memory_mb / 1024;
    }
  }
  return traffic;
}

base::Result<> RecordReader::read(std::string_view piece) {
  rest_ += piece;
  std::size_t begin = 0;
  for (std::size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
    if (end > begin) EBB_CHECKED(take(std::string_view(rest_).substr(begin, end - begin)));
    begin = end + 1;
  }
  rest_.erase(0, begin);
  return {};
}

base::Result<> RecordReader::take(std::string_view line) {
  boost::system::error_code failed;
  const boost::json::value value = boost::json::parse(line, failed);
  const auto* record = failed ? nullptr : value.if_object();
  const auto at = record != nullptr ? minute_of(cli::text_of(*record, "arrival")) : std::nullopt;
  if (!at) return base::invalid_argument("a line is no usage record: " + std::string(line.substr(0, 80)));
  if (cli::text_of(*record, "trigger") == "held")
    return take_held(*record, *at, second_of(cli::text_of(*record, "arrival")));
  EBB_TRY(Minute* const found, minute_at(*at));
  Minute& minute = *found;
  const double at_once = cli::number_of(*record, "billed_ms") / kMinuteMs;
  minute.calls += 1;
  minute.cu += std::strtod(cli::text_of(*record, "cu").c_str(), nullptr);
  minute.vcpu += at_once * cli::number_of(*record, "cpu_millis") / 1000;
  minute.gb += at_once * cli::number_of(*record, "memory_limit_bytes") / kGb;
  return {};
}

// A stretch begins and ends within minutes: each gets the part that lies in it.
base::Result<> RecordReader::take_held(const boost::json::object& record, std::int64_t at, double second) {
  const double for_ms = cli::number_of(record, "held_for_ms");
  const auto* tiers = record.if_contains("held_byte_ms");
  const auto* times = record.if_contains("held_ms");
  if (tiers == nullptr || !tiers->is_object() || times == nullptr || !times->is_object()) return {};
  if (for_ms <= 0 || for_ms > kMinuteMs * kMinutesMost) return {};
  double byte_ms = 0;
  double active_byte_ms = 0;
  for (const auto& [tier, value] : tiers->get_object()) {
    const double one = std::strtod(cli::text_of(tiers->get_object(), tier).c_str(), nullptr);
    byte_ms += one;
    if (tier == "active") active_byte_ms = one;
  }
  const double asleep = cli::number_of(times->get_object(), "provisioned") / 1000;
  const double cu = asleep * (cli::number_of(record, "cpu_millis") / 1000 * kSleepingVcpu +
                              cli::number_of(record, "memory_limit_bytes") / kGb * kSleepingGib);
  double from = std::min(second * 1000, kMinuteMs - 1);
  double left = for_ms;
  while (left >= 1) {
    const double here = std::min(left, kMinuteMs - from);
    EBB_TRY(Minute* const found, minute_at(at++));
    found->held_gb += byte_ms * here / for_ms / kMinuteMs / kGb;
    found->active_gb += active_byte_ms * here / for_ms / kMinuteMs / kGb;
    found->cu += cu * here / for_ms;
    left -= here;
    from = 0;
  }
  return {};
}

base::Result<Minute*> RecordReader::minute_at(std::int64_t at) {
  if (minutes_.empty()) first_ = at;
  if (std::abs(at - first_) > kMinutesMost) return base::invalid_argument("the records are more than a year apart");
  if (at < first_) {  // records lie nearly in the order of their arrival
    minutes_.insert(minutes_.begin(), static_cast<std::size_t>(first_ - at), Minute{});
    first_ = at;
  }
  const auto index = static_cast<std::size_t>(at - first_);
  if (index >= minutes_.size()) minutes_.resize(index + 1);
  return &minutes_[index];
}

base::Result<Traffic> RecordReader::finish(std::string source) {
  if (!rest_.empty()) EBB_CHECKED(take(rest_));
  return Traffic{.source = std::move(source), .minutes = std::move(minutes_)};
}

}  // namespace ebb::cost
