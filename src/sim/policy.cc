#include "sim/policy.h"

#include "base/check.h"
#include "sched/keep_alive_fixed.h"
#include "sched/keep_alive_hybrid.h"
#include "sched/keep_alive_worth.h"
#include "sim/formatted.h"

namespace ebb::sim {

using namespace std::chrono_literals;

namespace {

// Without a price a node lets go for want of memory alone.
PolicyOptions of_node(std::string name, double price) {
  return {.name = std::move(name),
          .mechanics = Mechanics::kNode,
          .keep = price > 0 ? Keep::kWorth : Keep::kGreedyDual,
          .price = price};
}

}  // namespace

std::vector<PolicyOptions> standard_policies(double price, double all_functions_mb, bool programs) {
  std::vector<PolicyOptions> policies;
  for (const int minutes : {1, 5, 10, 20, 60}) {
    policies.push_back({.name = "fixed " + std::to_string(minutes) + " min",
                        .mechanics = Mechanics::kInstances,
                        .keep = Keep::kFixed,
                        .time = std::chrono::minutes(minutes)});
  }
  policies.push_back({.name = "hybrid histogram", .mechanics = Mechanics::kInstances, .keep = Keep::kHybrid});
  policies.push_back({.name = "greedy-dual",
                      .mechanics = Mechanics::kInstances,
                      .keep = Keep::kGreedyDual,
                      .memory = {static_cast<std::uint64_t>(all_functions_mb / 4) << 20}});
  policies.push_back({.name = "ebb", .price = price});
  policies.push_back(of_node("node", price));
  if (programs) {
    policies.push_back(of_node("node, no spares", price));
    policies.back().spares_most = 0;
  }
  policies.push_back(of_node("node, price 0", 0));
  return policies;
}

std::vector<PolicyOptions> frontier_policies() {
  std::vector<PolicyOptions> policies;
  for (const double price : {0.0, 3.0, 10.0, 30.0, 60.0, 100.0, 200.0, 400.0, 1000.0, 3000.0, 10000.0}) {
    policies.push_back({.name = formatted("ebb, price %g", price), .price = price});
  }
  return policies;
}

std::unique_ptr<sched::KeepAlive> make_keep_alive(const PolicyOptions& options, FunctionCosts costs) {
  switch (options.keep) {
    case Keep::kFixed: return std::make_unique<sched::FixedKeepAlive>(options.time);
    case Keep::kHybrid: return std::make_unique<sched::HybridKeepAlive>();
    case Keep::kGreedyDual: return std::make_unique<sched::FixedKeepAlive>(24h * 365);
    case Keep::kWorth:
      return std::make_unique<sched::WorthKeepAlive>(
          sched::WorthOptions{.price = options.price, .gigabytes = costs.gigabytes, .start_time = costs.start});
  }
  EBB_CHECK(false);
}

}  // namespace ebb::sim
