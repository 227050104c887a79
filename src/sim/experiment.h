// A trace run under a policy on a number of nodes: lays the functions out, runs every node, adds the totals up.
//
// Functions go to nodes round robin; more functions than the trace has are copies with draws of their own. Nodes share
// nothing, so they run on as many threads as there are cores; the result depends on the seed alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "sim/calibration.h"
#include "sim/machine.h"

namespace ebb::sim {

struct ExperimentOptions {
  std::uint64_t seed = 1;
  std::uint32_t functions = 0;  // 0: as many as the trace has
  std::uint32_t nodes = 1;
  Spread spread = Spread::kUniform;
  /// The part of a function's memory that a running instance adds to its zygote; negative: what the trace says lies
  /// above the 1st percentile.
  double private_share = -1;
  /// The part of every recorded instance, in MB, that is the recording platform's own runtime and not the function. Ebb
  /// holds its own runtime zygote in its place. 0 counts all of the recorded memory as the function's.
  double platform_mb = 0;
  /// The share of functions, drawn by the seed, that no zygote can fork loaded: each instance starts a program of its
  /// own (Node, a web server), which costs Calibration::program_ms, and shares nothing but the runtime zygote.
  double programs = 0;
};

struct Outcome {
  PolicyOptions policy;
  Totals totals;
  double seconds = 0;  // of wall time it took
};

/// Errors: kInternal when an invariant broke; the message names the seed that shows it again.
base::Result<Outcome> run_experiment(const Trace& trace, const Calibration& calibration, const PolicyOptions& policy,
                                     const ExperimentOptions& options);

/// The load of one function of the trace; `copy` numbers functions that share a trace entry.
Load load_of(const TraceFunction& function, const Calibration& calibration, const ExperimentOptions& options,
             std::uint64_t copy);

}  // namespace ebb::sim
