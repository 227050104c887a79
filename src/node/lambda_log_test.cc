// Goal: the lines have the form that tools read on AWS Lambda, with the record's numbers. Method: records of each kind
// of end.
#include "node/lambda_log.h"

#include <gtest/gtest.h>

namespace ebb::node {
namespace {

using namespace std::chrono_literals;

const base::InvocationId kId{};
const std::string kRequest = base::to_string(kId);

model::Version version() {
  model::Version version{.app = "orders", .function = "take", .number = 7};
  version.spec.memory = base::Bytes{256u << 20};
  version.spec.timeout = 2500ms;
  return version;
}

std::vector<std::string> lines_of(model::Outcome outcome, base::Duration init = {}) {
  const model::UsageEnd end{
      .outcome = outcome, .handler = 1234567ns, .billed_ms = 2, .memory_peak = base::Bytes{(30u << 20) + 1}};
  return lambda_end_lines(kId, version(), end, init, base::WallTime(1s));
}

TEST(LambdaLog, ACallThatAnswered) {
  EXPECT_EQ(lambda_start_line(kId, version()), "START RequestId: " + kRequest + " Version: 7");
  const std::vector<std::string> expected = {
      "END RequestId: " + kRequest,
      "REPORT RequestId: " + kRequest +
          "\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 256 MB\tMax Memory Used: 31 MB"};
  EXPECT_EQ(lines_of(model::Outcome::kOk), expected);
  EXPECT_EQ(lines_of(model::Outcome::kFunctionError), expected)
      << "Lambda has no status for an error that was reported";
}

TEST(LambdaLog, TheFirstCallOfAnInstanceSaysHowLongItsStartTook) {
  EXPECT_NE(
      lines_of(model::Outcome::kOk, 41500us).back().find(kRequest + "\tInit Duration: 41.50 ms\tDuration: 1.23 ms\t"),
      std::string::npos);
}

TEST(LambdaLog, ACallWhoseTimeWasUp) {
  const std::vector<std::string> lines = lines_of(model::Outcome::kTimedOut);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], "1970-01-01T00:00:01.000Z " + kRequest + " Task timed out after 2.50 seconds");
  EXPECT_TRUE(lines[2].ends_with("31 MB\tStatus: timeout")) << lines[2];
}

TEST(LambdaLog, ACallThatItsProcessDidNotOutlive) {
  EXPECT_TRUE(lines_of(model::Outcome::kCrashed).back().ends_with("\tStatus: error\tError Type: Runtime.ExitError"));
  EXPECT_TRUE(
      lines_of(model::Outcome::kOutOfMemory).back().ends_with("\tStatus: error\tError Type: Runtime.OutOfMemory"));
}

}  // namespace
}  // namespace ebb::node
