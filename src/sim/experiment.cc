#include "sim/experiment.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "base/limits_spares.h"
#include "base/mutex.h"

namespace ebb::sim {
namespace {

struct Shared {
  base::Mutex mutex;
  std::vector<std::optional<Totals>> by_node;
  std::optional<std::string> violation;
};

// Of a function that a zygote can hold nothing of, beyond the runtime zygote: one without imports, measured.
constexpr double kBareZygoteMb = 4.5;

/// As if the two were long and short together.
Curve sum_of(const Curve& first, const Curve& second) {
  std::vector<Curve::Point> points;
  for (const Curve::Point point : first.points())
    points.push_back({.quantile = point.quantile, .value = point.value + second.at(point.quantile)});
  return Curve(std::move(points));
}

}  // namespace

Load load_of(const TraceFunction& function, const Calibration& calibration, const ExperimentOptions& options,
             std::uint64_t copy) {
  Random random = Random(options.seed).split(copy + 1);
  // A function's own init takes about the same every time; how long differs between functions.
  const double init = calibration.init_ms.at(random.uniform());
  const auto with_init = [&](const Curve& start) {
    std::vector<Curve::Point> points;
    for (const Curve::Point point : start.points())
      points.push_back({.quantile = point.quantile, .value = point.value + init});
    return Curve(std::move(points));
  };
  Load load;
  load.trace = &function;
  load.whole_ms = with_init(calibration.boot_ms);
  load.runtime_ms = calibration.boot_ms;
  load.zygote_ms = with_init(calibration.runtime_ms);
  load.fork_ms = calibration.fork_ms;
  const double part = options.private_share >= 0 ? options.private_share * function.memory_mb
                                                 : function.memory_mb - function.memory_low_mb;
  load.instance_mb = std::min(function.memory_mb, std::max(part, calibration.instance_mb));
  const double shared = function.memory_mb - load.instance_mb;
  load.runtime_mb = std::min(shared, calibration.runtime_mb);
  load.zygote_mb = shared - std::min(shared, std::max(load.runtime_mb, options.platform_mb));
  load.app = function.app;
  if (random.chance(options.programs)) {
    load.load_ms = with_init(calibration.program_ms);
    // The trial runs it once.
    load.zygote_ms = sum_of(calibration.runtime_ms, load.load_ms);
    const double zygote_mb = std::min(load.zygote_mb, kBareZygoteMb);
    load.instance_mb += std::exchange(load.zygote_mb, zygote_mb) - zygote_mb;
  }
  return load;
}

base::Result<Outcome> run_experiment(const Trace& trace, const Calibration& calibration, const PolicyOptions& policy,
                                     const ExperimentOptions& options) {
  const auto started = std::chrono::steady_clock::now();
  const auto of_trace = static_cast<std::uint32_t>(trace.functions.size());
  const std::uint32_t functions = options.functions == 0 ? of_trace : options.functions;
  Shared shared;
  shared.by_node.resize(options.nodes);
  std::atomic<std::uint32_t> next_node = 0;
  const auto work = [&] {
    for (std::uint32_t node = next_node++; node < options.nodes; node = next_node++) {
      std::vector<Load> loads;
      for (std::uint32_t index = node; index < functions; index += options.nodes) {
        loads.push_back(load_of(trace.functions[index % of_trace], calibration, options, index));
        loads.back().app += index / of_trace * trace.apps;  // a copy is of an app of its own
      }
      Machine machine({.policy = policy,
                       .spread = options.spread,
                       .spare_from = limits::kSpareLoading,
                       .spares_most = policy.spares_most,
                       .spare_memory = {policy.memory.count / 100 * limits::kSpareMemoryShare}},
                      std::move(loads), Random(options.seed).split(0x40000000ULL + node));
      machine.run(trace.minutes);
      base::MutexLock lock(shared.mutex);
      shared.by_node[node] = machine.totals();
      if (machine.violation() && !shared.violation) shared.violation = machine.violation();
    }
  };
  std::vector<std::thread> threads;
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  for (unsigned i = 1; i < std::min(cores, options.nodes); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  if (shared.violation) {
    return base::internal("an invariant broke under '" + policy.name + "': " + *shared.violation + "; --seed " +
                          std::to_string(options.seed) + " shows it again");
  }
  Outcome outcome{.policy = policy};
  for (const auto& totals : shared.by_node) outcome.totals.merge(*totals);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return outcome;
}

}  // namespace ebb::sim
