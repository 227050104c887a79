// The cost of traffic by use, beside that of servers bought for its busiest minute. Pure.
//
// Both grow with the traffic, so which is cheaper in the long run depends on one number: how much of what was bought
// for the peak is used on average. Small traffic is another matter, for half a server cannot be bought.
#pragma once

#include <optional>

#include "cost/traffic.h"

namespace ebb::cost {

struct Prices {
  double cu = 0;           // of one CU
  double server_hour = 0;  // of one server
  double server_vcpus = 2;
  double server_gb = 4;
};

struct Comparison {
  Prices prices;
  double hours = 0;
  double calls = 0;
  double cu = 0;
  double used_cost = 0;       // by use
  std::uint64_t servers = 0;  // that the busiest minute needs
  double servers_cost = 0;
  double held_gb_hours = 0;    // memory that zygotes and instances had, where it is known
  double active_gb_hours = 0;  // of it, while they started or were at work
  double average_use = 0;      // of what these servers have, in the resource that the peak is short of; 0 to 1
  /// Of cost and calls, and of cost and processor time, hour by hour; nothing with less than two hours, or when one of
  /// them never changes.
  std::optional<double> correlation_calls;
  std::optional<double> correlation_work;
  double cost_per_1000_least = 0;  // of the hours that had calls
  double cost_per_1000_most = 0;
  /// Servers are cheaper when more than this share of them is used on average, at any size of traffic.
  double even_use = 0;
  /// So many times this traffic is where the first server pays; nothing when by use is cheaper at every size.
  std::optional<double> even_traffic;
};

Comparison compare(const Traffic& traffic, const Prices& prices);

}  // namespace ebb::cost
