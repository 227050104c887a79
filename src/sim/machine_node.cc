// The machine as a node: what node/version_runner does with the decisions of sched today.
//
// It differs from Mechanics::kZygotes in this: a runtime zygote is shared by an app and stays (Load::runtime_mb is
// zero, MachineOptions::standing_mb has it); instances have a time of their own (idle_timeout) and none is kept or made
// ahead by the plan; a zygote goes when its plan says so and its last instance has gone; it is there from the
// deployment on, and what it costs is known once it has been made. Left out: the 100 ms between two looks of a node at
// its plans, and memory pressure.
#include <algorithm>

#include "base/check.h"
#include "sched/keep_alive_worth.h"
#include "sim/machine_function.h"

namespace ebb::sim {

void Machine::run(const std::vector<PlannedCall>& calls, const Stretch& stretch) {
  EBB_CHECK(options_.policy.mechanics == Mechanics::kNode);
  for (Function& function : functions_) {
    function.runtime_up = true;
    push(static_cast<Nanos>(function.load.deployed_s * 1e9), Kind::kDeployed, function.index, 0);
  }
  held_mb_ += options_.standing_mb;
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

// A deployment tries the zygote and makes no instance; the time since then is the first gap.
void Machine::deploy(Function& function) {
  function.residency.became_idle(sched_now());
  function.dispatcher.prewarm(sched_now(), actions_);
}

void Machine::learn_costs(Function& function) {
  if (options_.policy.keep != Keep::kWorth) return;
  static_cast<sched::WorthKeepAlive&>(function.residency.policy())
      .set_costs(function.load.zygote_mb / 1024, base::Duration(now_ - function.zygote_ordered_at));
}

void Machine::settle_as_node(Function& function) {
  if (function.waiting + function.running == 0) function.residency.became_idle(sched_now());
  const bool starting = function.zygote_up && !function.zygote_ready;
  const bool at_rest = function.waiting == 0 && function.idle == function.instances && !starting;
  const bool wanted = function.residency.wanted(sched_now());
  if (at_rest && !wanted && function.zygote_ready && function.instances == 0) kill_zygote(function);
  if (at_rest && wanted && !function.zygote_up) {
    function.dispatcher.prewarm(sched_now(), actions_);
    perform(function);
  }
  arm_timer(function);
}

}  // namespace ebb::sim
