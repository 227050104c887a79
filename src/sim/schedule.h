// The calls of a trace laid out in time: when each arrives and how long it runs. The machine lays out a minute at a
// time; a schedule is the whole at once, so that a live replay and its prediction work on the very same calls.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/random.h"
#include "sim/trace.h"

namespace ebb::sim {

struct PlannedCall {
  std::int64_t at_ns = 0;      // from the start
  std::uint32_t function = 0;  // of the trace
  double run_ms = 0;
};

/// Appends where in their minute `count` calls fall, in nanoseconds from its start, in no order. `even`: at equal
/// distances from `phase_ns`; else anywhere, independently.
void spread_minute(std::uint32_t count, bool even, std::uint64_t phase_ns, Random& random,
                   std::vector<std::int64_t>& out);

/// Whether a function's calls are laid out evenly within their minutes.
bool falls_evenly(Spread spread, const TraceFunction& function);

/// Every call of the trace in order of arrival; `speed` times as fast: arrivals and run times are divided by it.
/// Cost: 24 bytes a call.
std::vector<PlannedCall> lay_out(const Trace& trace, Spread spread, double speed, Random random);

}  // namespace ebb::sim
