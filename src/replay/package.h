// The apps of a replay as deployments: generated Python functions that allocate and touch the memory planned for them
// and compute and sleep as each call says.
#pragma once

#include <string>

#include "base/result.h"
#include "replay/plan.h"

namespace ebb::replay {

inline constexpr std::uint32_t kInstancesMost = 200;  // scale.max of every function

/// ebb.yaml of one of the plan's apps.
std::string manifest_of(const Plan& plan, const std::string& app);

/// The app as `ebb deploy` would upload it: a tar.gz. Writes a temporary folder, which is gone when it returns.
/// Errors: kUnavailable when the folder cannot be written.
base::Result<std::string> package_of(const Plan& plan, const std::string& app);

/// The event of a call: run_ms in all, cpu_ms of it computed.
std::string event_of(const Plan& plan, const sim::PlannedCall& call);

}  // namespace ebb::replay
