// What the live run came to, in the simulator's terms, beside its prediction; the report of `ebb replay`.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "replay/caller.h"
#include "replay/plan.h"
#include "replay/remote.h"
#include "sim/totals.h"

namespace ebb::replay {

/// The live run. `totals` holds what the prediction's hold, from the node's records and metrics: a call is `from_boot`
/// when its record says runtime or boot, `from_fork` when it says fork, `from_spare` when it says spare; `added` is
/// what the node added before the handler; `used` is the memory of a call's instance (its own peak, its zygote and its
/// runtime zygote) for the time of its handler inside the stretch.
struct Live {
  sim::Totals totals;
  sim::LatencyCounts added_for_caller;  // from the planned arrival to the answer, less the handler
  sim::LatencyCounts late;              // sent after the planned arrival
  std::uint64_t errors = 0;
  std::uint64_t records = 0;          // closed ones of calls that were answered
  std::uint64_t records_missing = 0;  // answered by the function without one
  std::uint64_t records_beyond = 0;   // of the apps, in that time, that belong to no call made
  std::string first_error;
  double cpu_seconds = 0;  // by the records
  bool records_equal_calls() const { return records_missing == 0 && records_beyond == 0; }
};

struct Measured {
  std::vector<CallOutcome> outcomes;
  std::vector<Record> records;
  std::vector<double> held_gb_by_bucket;
  double held_gb_seconds = 0;
  double spare_gb_seconds = 0;  // of it by spares
  Reading reading;              // for the sizes of zygotes
  std::string first_error;
};

Live live_of(const Plan& plan, const Measured& measured);

struct Comparison {
  std::string trace;
  Plan plan;
  Room room;
  std::string calibrated_on;
  Live live;
  sim::Totals predicted;
};

std::string to_table(const Comparison& comparison);
std::string to_json_text(const Comparison& comparison);

}  // namespace ebb::replay
