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

namespace ebb::cost {
namespace {

constexpr double kMicro = 1e6;
constexpr double kGb = 1024.0 * 1024 * 1024;
constexpr double kMinuteMs = 60'000;
constexpr double kLeastMemoryMb = 16;
constexpr std::int64_t kMinutesMost = 366 * 24 * 60;

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
  if (minutes_.empty()) first_ = *at;
  if (std::abs(*at - first_) > kMinutesMost) return base::invalid_argument("the records are more than a year apart");
  if (*at < first_) {  // records lie nearly in the order of their arrival
    minutes_.insert(minutes_.begin(), static_cast<std::size_t>(first_ - *at), Minute{});
    first_ = *at;
  }
  const auto index = static_cast<std::size_t>(*at - first_);
  if (index >= minutes_.size()) minutes_.resize(index + 1);
  Minute& minute = minutes_[index];
  const double at_once = cli::number_of(*record, "billed_ms") / kMinuteMs;
  minute.calls += 1;
  minute.cu += std::strtod(cli::text_of(*record, "cu").c_str(), nullptr);
  minute.vcpu += at_once * cli::number_of(*record, "cpu_millis") / 1000;
  minute.gb += at_once * cli::number_of(*record, "memory_limit_bytes") / kGb;
  return {};
}

base::Result<Traffic> RecordReader::finish(std::string source) {
  if (!rest_.empty()) EBB_CHECKED(take(rest_));
  return Traffic{.source = std::move(source), .minutes = std::move(minutes_)};
}

}  // namespace ebb::cost
