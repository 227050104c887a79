#include "replay/prediction.h"

#include <algorithm>
#include <chrono>

#include "base/limits.h"
#include "base/limits_spares.h"
#include "replay/package.h"
#include "sim/machine.h"

namespace ebb::replay {
namespace {

constexpr std::uint64_t kMachine = 4;               // its stream of chance
constexpr auto kAtOnce = std::chrono::seconds(10);  // before the first call, where nothing else is known

/// Every value of the curve moved by `by`, none below zero.
sim::Curve moved(const sim::Curve& curve, double by) {
  std::vector<sim::Curve::Point> points;
  for (const sim::Curve::Point point : curve.points())
    points.push_back({.quantile = point.quantile, .value = std::max(0.0, point.value + by)});
  return sim::Curve(std::move(points));
}

double seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// Nothing where it is forked loaded.
sim::Curve loading_in_instance(const Plan& plan, std::size_t index, const sim::Calibration& calibration,
                               const PredictionOptions& options) {
  if (!plan.functions[index].program) return {};
  const bool known = index < options.program_loads.size() && options.program_loads[index] > base::Duration::zero();
  if (known) return sim::Curve::constant(seconds(options.program_loads[index]) * 1000);
  return moved(calibration.program_ms, plan.functions[index].init_ms);
}

base::Bytes spare_memory(const Room& room) {
  const auto budget = static_cast<std::uint64_t>(room.memory_mb * (1 << 20));
  return base::Bytes{budget / 100 * limits::kSpareMemoryShare};
}

}  // namespace

base::Result<sim::Totals> predict(const Plan& plan, const sim::Calibration& calibration,
                                  const PredictionOptions& options) {
  base::Duration lead = kAtOnce;
  for (const base::Duration before : options.deployed_before) lead = std::max(lead, before);
  const double runtime_mb = options.runtime_mb > 0 ? options.runtime_mb : calibration.runtime_mb;
  sim::Trace scaled = plan.trace;
  std::vector<sim::Load> loads;
  for (std::size_t i = 0; i < plan.functions.size(); ++i) {
    const PlannedFunction& function = plan.functions[i];
    scaled.functions[i].memory_mb = runtime_mb + function.zygote_mb + function.instance_mb;
    const base::Duration before = i < options.deployed_before.size() ? options.deployed_before[i] : kAtOnce;
    const base::Duration load = i < options.loads.size() ? options.loads[i] : base::Duration::zero();
    // A record of a start from the runtime zygote holds the fork of the instance as well; here that is a step of its
    // own.
    const auto app = std::find(plan.apps.begin(), plan.apps.end(), function.app) - plan.apps.begin();
    const sim::Curve in_instance = loading_in_instance(plan, i, calibration, options);
    const double in_trial_ms = function.program ? in_instance.at(0.5) : function.init_ms;
    loads.push_back({.trace = &scaled.functions[i],
                     .runtime_ms = calibration.boot_ms,
                     .zygote_ms = load > base::Duration::zero()
                                      ? sim::Curve::constant(seconds(load) * 1000)
                                      : moved(calibration.runtime_ms, in_trial_ms - calibration.fork_ms.at(0.5)),
                     .fork_ms = calibration.fork_ms,
                     .load_ms = in_instance,
                     .runtime_mb = runtime_mb,
                     .zygote_mb = function.zygote_mb,
                     .instance_mb = function.instance_mb,
                     .app = static_cast<std::uint32_t>(app),
                     .idle_ms = calibration.idle_ms,
                     .deployed_s = seconds(lead - before)});
  }
  sim::MachineOptions machine_options{
      .policy = {.name = "node",
                 .mechanics = sim::Mechanics::kNode,
                 .keep = options.room.keep_alive_price > 0 ? sim::Keep::kWorth : sim::Keep::kGreedyDual,
                 .price = options.room.keep_alive_price,
                 .instance_idle = plan.idle_timeout},
      .instances_max = kInstancesMost,
      .queue_max = limits::kQueuedPerVersion,
      .starting_max = limits::kStartsAtOnce,
      .spare_from = limits::kSpareLoading,
      .spares_most = options.room.spares_most,
      .spare_memory = spare_memory(options.room),
      .processors = options.room.processors,
      .computed = plan.processor_part};
  sim::Machine machine(std::move(machine_options), std::move(loads), sim::Random(plan.options.seed).split(kMachine));
  machine.run(plan.calls,
              {.lead_ns = lead.count(), .length_ns = plan.length.count(), .bucket_ns = plan.bucket.count()});
  if (machine.violation()) {
    return base::internal("an invariant of the simulator broke: " + *machine.violation() + "; --seed " +
                          std::to_string(plan.options.seed) + " shows it again");
  }
  return machine.totals();
}

}  // namespace ebb::replay
