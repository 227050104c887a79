#include "sim/schedule.h"

#include <algorithm>
#include <tuple>

namespace ebb::sim {
namespace {

constexpr std::int64_t kMinute = 60'000'000'000;

}  // namespace

void spread_minute(std::uint32_t count, bool even, std::uint64_t phase_ns, Random& random,
                   std::vector<std::int64_t>& out) {
  for (std::uint32_t i = 0; i < count; ++i) {
    if (even) {
      const std::int64_t step = kMinute / count;
      out.push_back(static_cast<std::int64_t>(phase_ns) % step + i * step);
    } else {
      out.push_back(static_cast<std::int64_t>(random.below(kMinute)));
    }
  }
}

bool falls_evenly(Spread spread, const TraceFunction& function) {
  return spread == Spread::kEven || (spread == Spread::kTimers && function.regular);
}

std::vector<PlannedCall> lay_out(const Trace& trace, Spread spread, double speed, Random random) {
  std::vector<PlannedCall> calls;
  std::vector<std::int64_t> within;
  for (std::uint32_t index = 0; index < trace.functions.size(); ++index) {
    const TraceFunction& function = trace.functions[index];
    Random own = random.split(index + 1);
    const std::uint64_t phase = own.below(kMinute);
    for (std::uint32_t minute = 0; minute < function.per_minute.size(); ++minute) {
      within.clear();
      spread_minute(function.per_minute[minute], falls_evenly(spread, function), phase, own, within);
      for (const std::int64_t offset : within) {
        const auto at = static_cast<double>(minute * kMinute + offset) / speed;
        calls.push_back({.at_ns = static_cast<std::int64_t>(at),
                         .function = index,
                         .run_ms = function.run_ms.at(own.uniform()) / speed});
      }
    }
  }
  const auto earlier = [](const PlannedCall& a, const PlannedCall& b) {
    return std::tie(a.at_ns, a.function, a.run_ms) < std::tie(b.at_ns, b.function, b.run_ms);
  };
  std::sort(calls.begin(), calls.end(), earlier);
  return calls;
}

}  // namespace ebb::sim
