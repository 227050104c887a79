// What the simulator says of a plan, before it is replayed: the same calls, the same memory, the node's own policy and
// its calibrated start times, on a machine that holds memory as a node does (sim/machine_node.cc).
#pragma once

#include <vector>

#include "base/duration.h"
#include "base/result.h"
#include "replay/plan.h"
#include "sim/calibration.h"
#include "sim/totals.h"

namespace ebb::replay {

struct PredictionOptions {
  Room room;  // with a keep_alive_price of 0 all is held while there is memory, with 0 processors nothing waits for one
  /// How long before the first call each function was deployed; those left out just before.
  std::vector<base::Duration> deployed_before{};
  /// How long each function's zygote took to load when it was deployed: what it allocates is a part of that, and the
  /// calibration knows nothing of it. Zero and those left out: by the calibration and the plan's init.
  std::vector<base::Duration> loads{};
  /// What loading takes in an instance of a function that is a program; zero: by the calibration and the plan's init.
  std::vector<base::Duration> program_loads{};
  double runtime_mb = 0;  // of an app's runtime zygote; 0: the calibration's
};

/// Errors: kInternal when an invariant of the simulator broke; its message names the seed.
base::Result<sim::Totals> predict(const Plan& plan, const sim::Calibration& calibration,
                                  const PredictionOptions& options);

}  // namespace ebb::replay
