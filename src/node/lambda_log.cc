#include "node/lambda_log.h"

#include <cstdio>

namespace ebb::node {

namespace {

// As Lambda rounds: up.
std::uint64_t megabytes(base::Bytes bytes) { return (bytes.count + (1u << 20) - 1) >> 20; }

std::string hundredths(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

std::string_view status_of(model::Outcome outcome) {
  switch (outcome) {
    case model::Outcome::kTimedOut: return "\tStatus: timeout";
    case model::Outcome::kOutOfMemory: return "\tStatus: error\tError Type: Runtime.OutOfMemory";
    case model::Outcome::kCrashed: return "\tStatus: error\tError Type: Runtime.ExitError";
    default: return "";
  }
}

}  // namespace

std::string lambda_start_line(const base::InvocationId& id, const model::Version& version) {
  return "START RequestId: " + base::to_string(id) + " Version: " + std::to_string(version.number);
}

std::vector<std::string> lambda_end_lines(const base::InvocationId& id, const model::Version& version,
                                          const model::UsageEnd& end, base::Duration init, base::WallTime ended_at) {
  const std::string request = base::to_string(id);
  std::vector<std::string> lines;
  if (end.outcome == model::Outcome::kTimedOut) {
    const std::chrono::duration<double> limit = version.spec.timeout;
    lines.push_back(base::to_rfc3339(ended_at) + " " + request + " Task timed out after " + hundredths(limit.count()) +
                    " seconds");
  }
  lines.push_back("END RequestId: " + request);
  std::string report = "REPORT RequestId: " + request;
  if (init > base::Duration::zero()) report += "\tInit Duration: " + hundredths(base::milliseconds(init)) + " ms";
  report += "\tDuration: " + hundredths(base::milliseconds(end.handler)) + " ms";
  report += "\tBilled Duration: " + std::to_string(end.billed_ms) + " ms";
  report += "\tMemory Size: " + std::to_string(megabytes(version.spec.memory)) + " MB";
  report += "\tMax Memory Used: " + std::to_string(megabytes(end.memory_peak)) + " MB";
  report += status_of(end.outcome);
  lines.push_back(std::move(report));
  return lines;
}

}  // namespace ebb::node
