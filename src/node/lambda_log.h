// The lines that AWS Lambda writes around a call, and that tools read there: START, END and REPORT, and of a call whose
// time was up "Task timed out". What REPORT says is what the usage record says: one clock, that of the bill.
// Pure. Called by Invocation for calls of `runtime: lambda`; between the lines is what the function printed.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "base/id.h"
#include "model/usage.h"
#include "model/version.h"

namespace ebb::node {

std::string lambda_start_line(const base::InvocationId& id, const model::Version& version);

/// `init`: of the instance, for the first call in it; zero for others. `ended_at`: when the call ended.
std::vector<std::string> lambda_end_lines(const base::InvocationId& id, const model::Version& version,
                                          const model::UsageEnd& end, base::Duration init, base::WallTime ended_at);

}  // namespace ebb::node
