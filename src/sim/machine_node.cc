// The machine as a node: what node/version_runner and node/sandbox_pool do with the decisions of sched today.
//
// It differs from Mechanics::kZygotes in this: a runtime zygote is shared by an app's functions, with a plan by the
// calls of all; instances stay idle for what they are worth, at most idle_timeout, and none is made ahead by the plan;
// a zygote takes them with it when its plan lets it go; it is there from the deployment on, and what it costs is known
// once it has been made. With MachineOptions::processors starts and what calls compute take them from each other
// (machine_processors.cc); but as many starts are under way as are wanted. Left out: the 100 ms between two looks of a
// node at its plans.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sched/keep_alive_worth.h"
#include "sim/machine_function.h"

namespace ebb::sim {

void Machine::run(const std::vector<PlannedCall>& calls, const Stretch& stretch) {
  EBB_CHECK(options_.policy.mechanics == Mechanics::kNode);
  begin_as_node();
  for (const PlannedCall& call : calls)
    arrivals_.push_back({.at = stretch.lead_ns + call.at_ns, .function = call.function, .run_ms = call.run_ms});
  run_until(stretch.lead_ns);
  minute_held_ = minute_used_ = 0;
  totals_ = Totals{};
  totals_.held_peak_gb = held_mb_ / 1024;
  const Nanos end = stretch.lead_ns + stretch.length_ns;
  for (Nanos border = stretch.lead_ns; border < end && !violation_;) {
    const Nanos length = std::min(stretch.bucket_ns, end - border);
    border += length;
    run_until(border);
    end_bucket(length);
  }
}

// The runtime zygote's memory and start are the app's and not the function's from here on.
void Machine::make_runtime(Function& function, const FunctionCosts& costs) {
  const auto made = runtimes_.try_emplace(
      function.load.app, Runtime{.megabytes = function.load.runtime_mb,
                                 .boot_ms = function.load.runtime_ms,
                                 .residency = sched::Residency(make_keep_alive(options_.policy, costs))});
  if (made.second) made.first->second.residency.became_idle(sched_now());
  function.load.runtime_mb = 0;
  function.runtime_up = true;
}

void Machine::begin_as_node() {
  for (Function& function : functions_)
    push(static_cast<Nanos>(function.load.deployed_s * 1e9), Kind::kDeployed, function.index, 0);
}

// A deployment tries the zygote and makes no instance; the time since then is the first gap.
void Machine::deploy(Function& function) {
  function.residency.became_idle(sched_now());
  function.spare_residency.became_idle(sched_now());
  function.dispatcher.prewarm(sched_now(), actions_);
}

void Machine::learn_costs(Function& function) {
  if (options_.policy.keep != Keep::kWorth) return;
  static_cast<sched::WorthKeepAlive&>(function.residency.policy())
      .set_costs(function.load.zygote_mb / 1024, base::Duration(now_ - function.zygote_ordered_at));
}

Machine::Runtime& Machine::runtime_of(const Function& function) { return runtimes_.at(function.load.app); }

void Machine::start_zygote_in_shared_runtime(const Function& function) {
  Runtime& runtime = runtime_of(function);
  if (!runtime.up) boot_shared_runtime(function);
  runtime.needed = true;
  ++runtime.zygotes;
  const double takes_ms = start_time(function.load.zygote_ms);
  if (runtime.ready) {
    take_processor(takes_ms, Kind::kZygoteReady, function.index, function.zygote_life);
  } else {
    runtime.waiting.push_back({.function = function.index, .life = function.zygote_life, .takes_ms = takes_ms});
  }
}

void Machine::boot_shared_runtime(const Function& function) {
  Runtime& runtime = runtime_of(function);
  runtime.up = true;
  ++totals_.runtime_starts;
  held_mb_ += runtime.megabytes;
  totals_.held_peak_gb = std::max(totals_.held_peak_gb, held_mb_ / 1024);
  take_processor(start_time(runtime.boot_ms), Kind::kRuntimeReady, function.index, 0);
}

void Machine::shared_runtime_ready(const Function& function) {
  Runtime& runtime = runtime_of(function);
  runtime.ready = true;
  for (const Runtime::Zygote& zygote : std::exchange(runtime.waiting, {}))
    take_processor(zygote.takes_ms, Kind::kZygoteReady, zygote.function, zygote.life);
}

void Machine::settle_shared_runtime(const Function& function) {
  Runtime& runtime = runtime_of(function);
  if (runtime.calls == 0) runtime.residency.became_idle(sched_now());
  const bool wanted = runtime.residency.wanted(sched_now());
  if (!wanted && runtime.ready && runtime.zygotes == 0) {
    runtime.up = runtime.ready = false;
    held_mb_ -= runtime.megabytes;
  } else if (wanted && !runtime.up && runtime.needed) {
    boot_shared_runtime(function);
  }
}

void Machine::settle_as_node(Function& function) {
  if (function.waiting + function.running == 0) {
    function.residency.became_idle(sched_now());
    function.spare_residency.became_idle(sched_now());
  }
  const bool starting = function.zygote_up && !function.zygote_ready;
  const bool at_rest = function.waiting == 0 && function.idle == function.instances && !starting;
  const bool wanted = function.residency.wanted(sched_now());
  const base::Duration start = function.dispatcher.start_time();
  if (options_.policy.keep == Keep::kWorth && start > base::Duration::zero()) {
    function.dispatcher.set_idle_timeout(
        std::min(options_.policy.instance_idle,
                 sched::worth_of_idling(options_.policy.price, function.load.instance_mb / 1024, start)));
  }
  if (at_rest && !wanted && function.zygote_ready) release(function);
  if (at_rest && wanted && !function.zygote_up && !function.evicted) {
    function.dispatcher.prewarm(sched_now(), actions_);
    perform(function);
  }
  settle_shared_runtime(function);
  settle_spare(function);
  settle_memory(function);
  arm_timer(function);
}

}  // namespace ebb::sim
