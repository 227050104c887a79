// Goal: what versions tell of their calls becomes the gaps that the plan of their runtime zygote is made of, and
// nothing of it goes while a call is under way. Method: calls laid out in time, and what the plan wants at other times.
#include "node/runtime_plan.h"

#include <gtest/gtest.h>

namespace ebb::node {
namespace {

using namespace std::chrono_literals;

constexpr double kPrice = 100;
constexpr base::SteadyTime kStart = base::SteadyTime(1h);

std::shared_ptr<RuntimePlan> made(double price = kPrice) {
  auto plan = std::make_shared<RuntimePlan>(price, kStart);
  plan->set_costs(base::Bytes{14 << 20}, 500ms);
  return plan;
}

TEST(RuntimePlan, HoldsForAWhileAfterADeploymentAndNotForEver) {
  const auto plan = made();
  EXPECT_TRUE(plan->wanted(kStart + 1s));
  EXPECT_FALSE(plan->wanted(kStart + 100h));
}

TEST(RuntimePlan, IsThereWhenTheNextRegularCallIsDue) {
  const auto plan = made();
  base::SteadyTime at = kStart;
  for (int call = 0; call < 200; ++call) plan->called(at += 3h);
  EXPECT_FALSE(plan->wanted(at + 1h)) << "nobody calls then";
  EXPECT_TRUE(plan->wanted(at + 3h - 1s));
}

TEST(RuntimePlan, StaysWhileAnyCallIsUnderWay) {
  const auto plan = made(1e-6);
  {
    const RuntimePlan::Work one = plan->begun(kStart);
    const RuntimePlan::Work other = plan->begun(kStart + 1min);
    plan->called(kStart + 2min);
    EXPECT_TRUE(plan->wanted(kStart + 100h));
  }
  EXPECT_FALSE(plan->wanted(base::steady_now() + 1h));
}

}  // namespace
}  // namespace ebb::node
