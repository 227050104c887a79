#include "cost/comparison.h"

#include <algorithm>
#include <cmath>

namespace ebb::cost {
namespace {

constexpr std::size_t kHour = 60;

struct Hour {
  double calls = 0;
  double cu = 0;
  double work = 0;  // vCPU-minutes
};

std::vector<Hour> hours_of(const Traffic& traffic) {
  std::vector<Hour> hours((traffic.minutes.size() + kHour - 1) / kHour);
  for (std::size_t i = 0; i < traffic.minutes.size(); ++i) {
    hours[i / kHour].calls += traffic.minutes[i].calls;
    hours[i / kHour].cu += traffic.minutes[i].cu;
    hours[i / kHour].work += traffic.minutes[i].vcpu;
  }
  return hours;
}

// Pearson's, of cost and something else.
std::optional<double> correlation_of(const std::vector<Hour>& hours, double Hour::* what) {
  if (hours.size() < 2) return std::nullopt;
  double other = 0;
  double cu = 0;
  for (const Hour& hour : hours) {
    other += hour.*what / static_cast<double>(hours.size());
    cu += hour.cu / static_cast<double>(hours.size());
  }
  double both = 0;
  double of_other = 0;
  double of_cu = 0;
  for (const Hour& hour : hours) {
    both += (hour.*what - other) * (hour.cu - cu);
    of_other += (hour.*what - other) * (hour.*what - other);
    of_cu += (hour.cu - cu) * (hour.cu - cu);
  }
  if (of_other <= 0 || of_cu <= 0) return std::nullopt;
  return both / std::sqrt(of_other * of_cu);
}

}  // namespace

Comparison compare(const Traffic& traffic, const Prices& prices) {
  Comparison found{.prices = prices,
                   .hours = static_cast<double>(traffic.minutes.size()) / kHour,
                   .calls = traffic.calls(),
                   .cu = traffic.cu()};
  found.used_cost = found.cu * prices.cu;
  for (const Minute& minute : traffic.minutes) {
    found.held_gb_hours += minute.held_gb / kHour;
    found.active_gb_hours += minute.active_gb / kHour;
  }
  double needed = 0;   // servers, in the busiest minute
  double average = 0;  // servers, of the same resource
  for (const auto& [of, each] :
       {std::pair(&Minute::vcpu, prices.server_vcpus), std::pair(&Minute::gb, prices.server_gb)}) {
    double most = 0;
    double sum = 0;
    for (const Minute& minute : traffic.minutes) {
      most = std::max(most, minute.*of / each);
      sum += minute.*of / each;
    }
    if (most <= needed) continue;
    needed = most;
    average = sum / static_cast<double>(traffic.minutes.size());
  }
  found.servers = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(needed - 1e-9)));
  const double server_cost = prices.server_hour * found.hours;
  found.servers_cost = static_cast<double>(found.servers) * server_cost;
  found.average_use = average / static_cast<double>(found.servers);
  const std::vector<Hour> hours = hours_of(traffic);
  found.correlation_calls = correlation_of(hours, &Hour::calls);
  found.correlation_work = correlation_of(hours, &Hour::work);
  bool first = true;
  for (const Hour& hour : hours) {
    if (hour.calls <= 0) continue;
    const double each = 1000 * hour.cu * prices.cu / hour.calls;
    found.cost_per_1000_least = first ? each : std::min(found.cost_per_1000_least, each);
    found.cost_per_1000_most = std::max(found.cost_per_1000_most, each);
    first = false;
  }
  // Servers in any fraction, for the peak: what traffic without end comes to.
  const double fitted_cost = needed * server_cost;
  if (found.used_cost > 0 && needed > 0) found.even_use = average / needed * fitted_cost / found.used_cost;
  if (found.used_cost > fitted_cost && found.used_cost > 0) found.even_traffic = server_cost / found.used_cost;
  return found;
}

}  // namespace ebb::cost
