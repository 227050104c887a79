// A trace for tests: one function, called equally often in every minute.
#pragma once

#include <cstdint>

#include "sim/trace.h"

namespace ebb::sim {

struct SteadyTrace {
  std::uint32_t minutes = 60;
  std::uint32_t calls_per_minute = 6;
  double run_ms = 500;
};

inline Trace steady_trace(const SteadyTrace& wanted = {}) {
  Trace trace;
  trace.minutes = wanted.minutes;
  TraceFunction one;
  one.name = "a/f";
  one.per_minute.assign(wanted.minutes, wanted.calls_per_minute);
  one.run_ms = Curve::constant(wanted.run_ms);
  one.memory_mb = 100;
  one.memory_low_mb = 80;
  trace.functions.push_back(one);
  return trace;
}

}  // namespace ebb::sim
