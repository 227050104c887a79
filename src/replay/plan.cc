#include "replay/plan.h"

#include <algorithm>
#include <numeric>

#include "base/limits.h"
#include "base/limits_replay.h"
#include "replay/prediction.h"

namespace ebb::replay {
namespace {

// Streams of chance that are split off the seed.
constexpr std::uint64_t kChoice = 1;
constexpr std::uint64_t kArrivals = 2;
constexpr std::uint64_t kInits = 3;
constexpr std::uint64_t kPrograms = 5;  // 4 is the machine's

/// The stretch, of `wanted` functions that are called in it.
base::Result<sim::Trace> chosen(const sim::Trace& trace, const PlanOptions& options, std::uint64_t& called) {
  if (options.first_minute >= trace.minutes || options.minutes > trace.minutes - options.first_minute) {
    return base::invalid_argument("the stretch from minute " + std::to_string(options.first_minute) + " on, " +
                                  std::to_string(options.minutes) +
                                  " minutes long, is not inside the trace, which has " + std::to_string(trace.minutes) +
                                  " minutes: choose another --from or --minutes");
  }
  sim::Trace part = sim::excerpt(trace, options.first_minute, options.minutes);
  std::erase_if(part.functions, [](const sim::TraceFunction& function) { return function.calls() == 0; });
  called = part.functions.size();
  if (part.functions.empty())
    return base::invalid_argument("nothing is called in this stretch of the trace: choose another --from or --minutes");
  sim::Random random = sim::Random(options.seed).split(kChoice);
  const std::size_t most = limits::kReplayApps * limits::kFunctionsPerApp;
  std::size_t wanted = options.functions == 0 ? part.functions.size() : options.functions;
  wanted = std::min(wanted, part.functions.size());
  if (wanted > most) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = std::to_string(wanted) +
                                  " functions are called in this stretch, a replay has at most " +
                                  std::to_string(most) + ": choose so many of them with --functions"};
  }
  // The first of a random order; then in the trace's order again.
  std::vector<std::size_t> order(part.functions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  order.resize(wanted);
  std::sort(order.begin(), order.end());
  std::vector<sim::TraceFunction> functions;
  for (const std::size_t index : order) functions.push_back(std::move(part.functions[index]));
  part.functions = std::move(functions);
  return part;
}

std::string app_of(const PlanOptions& options, std::size_t index) {
  const std::size_t number = index / limits::kFunctionsPerApp;
  return number == 0 ? options.app : options.app + "-" + std::to_string(number + 1);
}

PlannedFunction function_of(const Plan& plan, std::size_t index, const sim::Calibration& calibration) {
  const sim::TraceFunction& traced = plan.trace.functions[index];
  sim::Random random = sim::Random(plan.options.seed).split(kInits).split(index);
  // As in the simulator: what is always there is the zygote's, what lies above it each instance's.
  const double part = traced.memory_mb - traced.memory_low_mb;
  const double low = traced.memory_mb - std::max(part, 0.0) - calibration.runtime_mb;
  const bool program = sim::Random(plan.options.seed).split(kPrograms).split(index).chance(plan.options.programs);
  const double whole = traced.memory_mb - calibration.runtime_mb;
  return {.app = app_of(plan.options, index),
          .name = "f" + std::to_string(index),
          .traced = traced.name,
          .zygote_mb = program ? kBareZygoteMb : std::max(kBareZygoteMb, low * plan.memory_scale),
          .instance_mb = program ? std::max(kBareProgramMb, whole * plan.memory_scale)
                                 : std::max(kBareInstanceMb, part * plan.memory_scale),
          .init_ms = calibration.init_ms.at(random.uniform()),
          .program = program};
}

void describe_functions(Plan& plan, const sim::Calibration& calibration) {
  plan.functions.clear();
  for (std::size_t i = 0; i < plan.trace.functions.size(); ++i)
    plan.functions.push_back(function_of(plan, i, calibration));
}

/// The scale with which the predicted peak is what may be used: what does not scale, runtimes and bare functions, makes
/// the peak no straight line, so it is approached.
base::Result<void> fit_memory(Plan& plan, const Room& room, const sim::Calibration& calibration) {
  constexpr int kSteps = 5;
  const double may_gb = plan.options.memory_share * room.memory_mb / 1024;
  for (int step = 0; step < kSteps; ++step) {
    describe_functions(plan, calibration);
    EBB_TRY(const sim::Totals totals, predict(plan, calibration, {.room = room}));
    if (step == 0 && totals.held_peak_gb <= may_gb) break;
    const double next = plan.memory_scale * may_gb / std::max(1e-6, totals.held_peak_gb);
    if (std::abs(next - plan.memory_scale) < 0.005 * plan.memory_scale) break;
    plan.memory_scale = std::clamp(next, 1e-4, 1.0);
  }
  describe_functions(plan, calibration);
  return {};
}

}  // namespace

base::Result<Plan> make_plan(const sim::Trace& trace, const PlanOptions& options, const Room& room,
                             const sim::Calibration& calibration) {
  Plan plan{.options = options};
  EBB_TRY(plan.trace, chosen(trace, options, plan.functions_called));
  if (plan.trace.calls() > limits::kReplayCalls) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = "this stretch has " + std::to_string(plan.trace.calls()) +
                                  " calls, a replay makes at most " + std::to_string(limits::kReplayCalls) +
                                  ": choose fewer --functions or --minutes"};
  }
  plan.calls = sim::lay_out(plan.trace, options.spread, options.speed, sim::Random(options.seed).split(kArrivals));
  const auto shortened = [&](base::Duration time) {
    return base::Duration(static_cast<std::int64_t>(static_cast<double>(time.count()) / options.speed));
  };
  plan.length = shortened(std::chrono::minutes(options.minutes));
  plan.bucket = shortened(std::chrono::minutes(1));
  // As ebb.yaml can say it: whole milliseconds.
  plan.idle_timeout = std::chrono::ceil<std::chrono::milliseconds>(shortened(options.idle_timeout));
  double run_ms = 0;
  double run_ms_max = 0;
  for (const sim::PlannedCall& call : plan.calls) {
    run_ms += call.run_ms;
    run_ms_max = std::max(run_ms_max, call.run_ms);
  }
  plan.run_max = std::chrono::milliseconds(static_cast<std::int64_t>(run_ms_max) + 1);
  const double busy = run_ms / std::max(1.0, std::chrono::duration<double, std::milli>(plan.length).count());
  plan.processor_part = std::min(1.0, options.processor_share * room.processors / std::max(busy, 1e-9));
  for (std::size_t i = 0; i < plan.trace.functions.size(); i += limits::kFunctionsPerApp)
    plan.apps.push_back(app_of(options, i));
  EBB_CHECKED(fit_memory(plan, room, calibration));
  return plan;
}

}  // namespace ebb::replay
