// What a replay does, decided before anything is called: which functions stand for those of the trace, what memory each
// allocates, when every call arrives, how long it runs and how much of that it computes.
//
// Pure: equal options, trace and seed give equal plans. Scales:
// - time: arrivals, run times and idle_timeout are divided by `speed`; starts take as long as they take.
// - memory: every function's by the same factor, the largest with which the simulator's peak for this very plan is
//   `memory_share` of the node's budget, at most 1.
// - processor: of each run time the same part is computed, the rest slept: the largest with which all calls together
//   keep `processor_share` of the processors busy, at most 1. The trace has wall times only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/duration.h"
#include "base/result.h"
#include "sim/calibration.h"
#include "sim/schedule.h"
#include "sim/trace.h"

namespace ebb::replay {

// What a Python function without imports takes that allocates nothing, in MB: its zygote beyond the runtime zygote, an
// instance that has served beyond its zygote. Measured: docs/internals/scheduling.md.
inline constexpr double kBareZygoteMb = 4.5;
inline constexpr double kBareInstanceMb = 2.2;
inline constexpr double kBareProgramMb = 10;  // an instance that runs one

struct PlanOptions {
  std::uint32_t first_minute = 0;
  std::uint32_t minutes = 30;
  double speed = 10;
  std::uint32_t functions = 0;  // so many, drawn at random from those with calls in the stretch; 0: all of these
  std::uint64_t seed = 1;
  sim::Spread spread = sim::Spread::kUniform;
  std::string app = "replay";
  base::Duration idle_timeout = std::chrono::seconds(60);  // at the recorded speed
  double memory_share = 0.5;
  double processor_share = 0.25;
  double programs = 0;  // the share of functions, drawn by the seed, that start a program in each instance
};

/// The machine the plan has to fit.
struct Room {
  double memory_mb = 0;
  double processors = 0;
  double keep_alive_price = 0;
  std::uint32_t spares_most = 0;
};

struct PlannedFunction {
  std::string app;
  std::string name;
  std::string traced;      // its name in the trace
  double zygote_mb = 0;    // beyond the runtime zygote
  double instance_mb = 0;  // beyond the zygote
  double init_ms = 0;
  bool program = false;  // all that it allocates is in each instance, which runs its init
};

struct Plan {
  PlanOptions options;
  std::vector<PlannedFunction> functions;
  std::vector<std::string> apps;  // limits::kFunctionsPerApp functions each
  std::vector<sim::PlannedCall> calls;
  sim::Trace trace;                    // the stretch of the functions chosen
  std::uint64_t functions_called = 0;  // of the trace, in the stretch
  base::Duration length{};             // of the replay
  base::Duration bucket{};             // a minute of the trace
  base::Duration idle_timeout{};
  base::Duration run_max{};
  double memory_scale = 1;
  double processor_part = 1;  // of every run time that is computed
};

/// Errors: kInvalidArgument when the trace ends before the stretch, or nothing is called in it; kTooLarge beyond
/// limits::kReplayCalls.
base::Result<Plan> make_plan(const sim::Trace& trace, const PlanOptions& options, const Room& room,
                             const sim::Calibration& calibration);

}  // namespace ebb::replay
