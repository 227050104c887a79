// What a simulated run decides with: the mechanics of a platform and a keep-alive policy of sched.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/duration.h"
#include "sched/keep_alive.h"
#include "sched/keep_alive_worth.h"

namespace ebb::sim {

/// How a platform makes an instance.
enum class Mechanics : std::uint8_t {
  kInstances,  // each boots and initialises on its own and shares no memory: today's platforms
  kZygotes,    // a zygote boots once, instances are forks of it: Ebb's scheduler with all its policies
  kNode,       // zygotes as node/version_runner holds them today; machine_node.cc says where that differs
};

enum class Keep : std::uint8_t {
  kFixed,       // for `time` after a call
  kHybrid,      // sched/keep_alive_hybrid.h
  kGreedyDual,  // until memory is short: sched/zygote_cache.h
  kWorth,       // sched/keep_alive_worth.h at `price`
};

struct PolicyOptions {
  std::string name;
  Mechanics mechanics = Mechanics::kZygotes;
  Keep keep = Keep::kWorth;
  base::Duration time{};                         // kFixed
  double price = 0;                              // kWorth
  base::Duration instance_idle{60'000'000'000};  // kZygotes: instances beyond one
  base::Bytes memory{};                          // of a node; 0 is without bound
  std::uint32_t spares_most = 100;               // of a node; with zygotes only
};

/// GB-seconds that may be held to spare callers one second of waiting; where it comes from:
/// docs/internals/scheduling.md.
inline constexpr double kDefaultPrice = 600;

/// The rows of `ebb sim`: fixed keep-alive of 1, 5, 10, 20 and 60 minutes, hybrid histogram, greedy-dual with a quarter
/// of `all_functions_mb` of memory on each node, Ebb's scheduler with all its policies and as a node runs it, both at
/// `price`, and as a node runs it that was not configured. `programs`: the node without spares too.
std::vector<PolicyOptions> standard_policies(double price, double all_functions_mb, bool programs);
/// Ebb at other prices, for the frontier.
std::vector<PolicyOptions> frontier_policies();

struct FunctionCosts {  // by default what sched takes a function for of which nothing is known
  double gigabytes = sched::WorthOptions{}.gigabytes;
  base::Duration start = sched::WorthOptions{}.start_time;
};
std::unique_ptr<sched::KeepAlive> make_keep_alive(const PolicyOptions& options, FunctionCosts costs);

}  // namespace ebb::sim
