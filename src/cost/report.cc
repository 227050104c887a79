#include "cost/report.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "sim/chart_panel.h"
#include "sim/formatted.h"

namespace ebb::cost {
namespace {

using sim::formatted;

constexpr sim::ChartKey kUsed{"#2a9d4a", "by use"};
constexpr sim::ChartKey kServers{"#c02b2b", "servers bought for the busiest minute"};
constexpr sim::ChartKey kHeld{"#2f6fb3", "held by zygotes and instances"};
constexpr std::size_t kPointsMost = 288;  // of a curve: five minutes each of a day

/// Sums of so many minutes that the curve has at most kPointsMost points.
std::vector<double> points_of(const Traffic& traffic, double Minute::* of, std::size_t minutes) {
  std::vector<double> points((traffic.minutes.size() + minutes - 1) / minutes);
  for (std::size_t i = 0; i < traffic.minutes.size(); ++i) points[i / minutes] += traffic.minutes[i].*of;
  return points;
}

std::vector<double> times(std::vector<double> values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

std::vector<double> added_up(const std::vector<double>& values) {
  std::vector<double> sums;
  double sum = 0;
  for (const double value : values) sums.push_back(sum += value);
  return sums;
}

std::string percent(double share) { return formatted("%.1f %%", 100 * share); }

std::string verdict(const Comparison& found) {
  if (found.used_cost <= 0) return "nothing was used: by use it costs nothing\n";
  const bool cheaper = found.used_cost <= found.servers_cost;
  std::string text =
      cheaper ? formatted("by use costs %s of the servers\n", percent(found.used_cost / found.servers_cost).c_str())
              : formatted("the servers cost %s of by use\n", percent(found.servers_cost / found.used_cost).c_str());
  text +=
      formatted("break-even: servers are cheaper once more than %s of them is used on average; this traffic uses %s\n",
                percent(found.even_use).c_str(), percent(found.average_use).c_str());
  text +=
      found.even_traffic
          ? formatted("by size: below %.3g times this traffic by use is cheaper, for half a server cannot be bought\n",
                      *found.even_traffic)
          : std::string("by size: by use is cheaper, however much this traffic grows\n");
  return text;
}

}  // namespace

std::string to_text(const Traffic& traffic, const Comparison& found) {
  std::string text = formatted("%s: %.0f calls in %.1f hours\n", traffic.source.c_str(), found.calls, found.hours);
  text += formatted("by use    %12.4f   %.3f CU at %g\n", found.used_cost, found.cu, found.prices.cu);
  text += formatted("servers   %12.4f   %llu of %g vCPU and %g GB at %g an hour, for the busiest minute\n",
                    found.servers_cost, static_cast<unsigned long long>(found.servers), found.prices.server_vcpus,
                    found.prices.server_gb, found.prices.server_hour);
  if (found.correlation_work) {
    text +=
        formatted("cost follows work: correlation %.3f with processor time over the hours", *found.correlation_work);
    if (found.correlation_calls) text += formatted(", %.3f with calls", *found.correlation_calls);
    text += formatted("; 1,000 calls cost %.4g to %.4g\n", found.cost_per_1000_least, found.cost_per_1000_most);
  }
  if (traffic.has_held()) {
    text += formatted("held      %12.4f   GB-hours by zygotes and instances, %s of it by instances at work\n",
                      found.held_gb_hours, percent(found.active_gb_hours / found.held_gb_hours).c_str());
  }
  return text + verdict(found);
}

std::string to_json_text(const Traffic& traffic, const Comparison& found) {
  const auto or_null = [](const std::optional<double>& value) {
    return value ? boost::json::value(*value) : boost::json::value(nullptr);
  };
  const boost::json::object answer{{"source", traffic.source},
                                   {"hours", found.hours},
                                   {"calls", found.calls},
                                   {"cu", found.cu},
                                   {"cu_price", found.prices.cu},
                                   {"used_cost", found.used_cost},
                                   {"servers", found.servers},
                                   {"server_price_hour", found.prices.server_hour},
                                   {"servers_cost", found.servers_cost},
                                   {"average_use", found.average_use},
                                   {"held_gb_hours", found.held_gb_hours},
                                   {"active_gb_hours", found.active_gb_hours},
                                   {"correlation_work", or_null(found.correlation_work)},
                                   {"correlation_calls", or_null(found.correlation_calls)},
                                   {"cost_per_1000_calls_least", found.cost_per_1000_least},
                                   {"cost_per_1000_calls_most", found.cost_per_1000_most},
                                   {"even_use", found.even_use},
                                   {"even_traffic", or_null(found.even_traffic)}};
  return boost::json::serialize(answer) + "\n";
}

std::string to_chart(const Traffic& traffic, const Comparison& found) {
  const std::size_t each = (traffic.minutes.size() + kPointsMost - 1) / kPointsMost;
  if (each == 0) return sim::chart_head(40) + "</svg>\n";
  const auto minutes = static_cast<double>(traffic.minutes.size());
  const double share = 1 / static_cast<double>(each);
  const auto calls = times(points_of(traffic, &Minute::calls, each), share);
  const auto vcpu = times(points_of(traffic, &Minute::vcpu, each), share);
  const auto cost = times(points_of(traffic, &Minute::cu, each), found.prices.cu * share * 60);
  const auto so_far = added_up(times(points_of(traffic, &Minute::cu, each), found.prices.cu));
  const double bought_vcpu = static_cast<double>(found.servers) * found.prices.server_vcpus;
  const double bought_hour = static_cast<double>(found.servers) * found.prices.server_hour;
  const std::vector<double> flat_vcpu(calls.size(), bought_vcpu);
  const std::vector<double> flat_cost(calls.size(), bought_hour);
  const std::vector<double> flat_so_far =
      added_up(std::vector<double>(calls.size(), bought_hour * static_cast<double>(each) / 60));
  const char* dashed = "stroke-dasharray=\"7 4\"";

  sim::Panel of_traffic(75, 190, sim::most(calls), minutes, "Traffic: calls a minute");
  of_traffic.curve(calls, "#555555", true);
  sim::Panel capacity(250, 390, std::max(sim::most(vcpu), bought_vcpu), minutes, "Capacity: vCPUs used, and bought");
  capacity.curve(vcpu, kUsed.stroke, true);
  capacity.curve(flat_vcpu, kServers.stroke, false, dashed);
  sim::Panel price(450, 590, std::max(sim::most(cost), bought_hour), minutes, "Cost an hour");
  price.curve(cost, kUsed.stroke, true);
  price.curve(flat_cost, kServers.stroke, false, dashed);
  sim::Panel sum(650, 790, std::max(so_far.back(), flat_so_far.back()), minutes, "Cost so far");
  sum.curve(so_far, kUsed.stroke, true);
  sum.curve(flat_so_far, kServers.stroke, false, dashed);
  const std::string panels = of_traffic.text() + capacity.text() + price.text() + sum.text();
  if (!traffic.has_held()) return sim::chart_head(820) + sim::chart_keys({kUsed, kServers}) + panels + "</svg>\n";
  const auto held = times(points_of(traffic, &Minute::held_gb, each), share);
  const auto active = times(points_of(traffic, &Minute::active_gb, each), share);
  sim::Panel memory(850, 990, sim::most(held), minutes, "Memory: GB held, and of it by instances at work");
  memory.curve(held, kHeld.stroke, true);
  memory.curve(active, kUsed.stroke, true);
  return sim::chart_head(1020) + sim::chart_keys({kUsed, kServers, kHeld}) + panels + memory.text() + "</svg>\n";
}

}  // namespace ebb::cost
