#include "tune/report.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "sim/chart_panel.h"
#include "sim/formatted.h"

namespace ebb::tune {
namespace {

constexpr double kBarHeight = 16;
constexpr double kRowHeight = 46;
constexpr double kTop = 56;
constexpr const char* kCostColour = "#d9822b";
constexpr const char* kTimeColour = "#2b6cb0";

std::string size_text(const Size& size) { return base::to_string(size.memory) + ", cpu " + cpu_text(size.cpu_millis); }

std::string milliseconds(double value) { return sim::formatted(value < 10 ? "%.2f ms" : "%.1f ms", value); }

std::string cost_of_1000(const Measured& one) { return sim::formatted("%.3f", 1000 * one.cu_per_call()); }

std::string notes_of(std::size_t i, const Measured& one, const std::optional<Advice>& advice) {
  std::string notes;
  const auto add = [&](const std::string& note) { notes += (notes.empty() ? "" : ", ") + note; };
  if (one.failed() > 0) {
    const auto bad =
        std::find_if(one.samples.begin(), one.samples.end(), [](const Sample& sample) { return !sample.ok; });
    add(std::to_string(one.failed()) + " failed: " + bad->outcome);
  }
  if (advice && advice->chosen == i) add("take this");
  if (advice && advice->cheapest == i) add("cheapest");
  if (advice && advice->fastest == i) add("fastest");
  if (one.current) add("as it is now");
  return notes;
}

const char* name_of(Aim aim) {
  switch (aim) {
    case Aim::kCost: return "cost";
    case Aim::kSpeed: return "speed";
    case Aim::kBalance: break;
  }
  return "balance";
}

boost::json::object json_of(const Measured& one) {
  return {{"memory", base::to_string(one.size.memory)},
          {"cpu", static_cast<double>(one.size.cpu_millis) / 1000},
          {"current", one.current},
          {"calls", one.samples.size()},
          {"failed", one.failed()},
          {"first_ms", one.first_ms},
          {"handler_ms_p50", one.handler_ms(0.5)},
          {"handler_ms_p99", one.handler_ms(0.99)},
          {"memory_peak_mb", one.peak_mb()},
          {"cu_per_1000_calls", 1000 * one.cu_per_call()}};
}

std::string bar(double y, double part, const char* fill, const std::string& text) {
  const double width = std::max(1.0, part * (sim::kChartRight - sim::kChartLeft - 320));
  const double left = sim::kChartLeft + 170;
  return sim::formatted("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", left, y, width,
                        kBarHeight, fill) +
         sim::chart_label(left + width + 6, y + kBarHeight - 3, text);
}

}  // namespace

std::string to_table(const Subject& subject, const std::vector<Measured>& all, const std::optional<Advice>& advice,
                     const cli::Terminal& terminal) {
  cli::Table table({"MEMORY", "CPU", "CALLS", "FIRST", "P50", "P99", "PEAK", "CU/1000 CALLS", ""});
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Measured& one = all[i];
    table.add({base::to_string(one.size.memory), cpu_text(one.size.cpu_millis), std::to_string(one.samples.size()),
               milliseconds(one.first_ms), milliseconds(one.handler_ms(0.5)), milliseconds(one.handler_ms(0.99)),
               sim::formatted("%.1f MiB", one.peak_mb()), cost_of_1000(one), notes_of(i, one, advice)});
  }
  std::string text = table.text(terminal, {0, 1, 2, 3, 4, 5, 6, 7}) + "\n";
  if (!advice) return text + "no size answered all calls: ebb logs " + subject.function + " says why\n";
  const Size& chosen = all[advice->chosen].size;
  if (all[advice->chosen].current) return text + "leave " + subject.function + " as it is\n";
  return text + "for ebb.yaml:  memory: " + base::to_string(chosen.memory) + "  cpu: " + cpu_text(chosen.cpu_millis) +
         "\n";
}

std::string to_json_text(const Subject& subject, const std::vector<Measured>& all,
                         const std::optional<Advice>& advice) {
  boost::json::array sizes;
  for (const Measured& one : all) sizes.push_back(json_of(one));
  boost::json::object answer{{"function", subject.function},
                             {"calls", subject.calls},
                             {"aim", name_of(subject.aim)},
                             {"sizes", std::move(sizes)}};
  if (advice) {
    answer["take"] = json_of(all[advice->chosen]);
    answer["cheapest"] = json_of(all[advice->cheapest]);
    answer["fastest"] = json_of(all[advice->fastest]);
  }
  return boost::json::serialize(answer) + "\n";
}

std::string to_chart(const Subject& subject, const std::vector<Measured>& all, const std::optional<Advice>& advice) {
  double cost_most = 0;
  double time_most = 0;
  for (const Measured& one : all) {
    cost_most = std::max(cost_most, one.cu_per_call());
    time_most = std::max(time_most, one.handler_ms(0.5));
  }
  std::string svg = sim::chart_head(kTop + kRowHeight * static_cast<double>(all.size()) + 16);
  svg += sim::chart_keys({{kCostColour, "CU of 1,000 calls"}, {kTimeColour, "median of the handler"}});
  svg += sim::chart_label(sim::kChartRight, 26, subject.function, "#333333", "end");
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double y = kTop + kRowHeight * static_cast<double>(i);
    const bool chosen = advice && advice->chosen == i;
    svg += sim::chart_label(sim::kChartLeft + 160, y + kBarHeight, size_text(all[i].size),
                            chosen ? "#000000" : "#666666", "end");
    if (chosen) svg += sim::chart_label(sim::kChartLeft + 160, y + 2 * kBarHeight, "take this", "#000000", "end");
    const double cost = cost_most > 0 ? all[i].cu_per_call() / cost_most : 0;
    const double time = time_most > 0 ? all[i].handler_ms(0.5) / time_most : 0;
    svg += bar(y, cost, kCostColour, cost_of_1000(all[i])) +
           bar(y + kBarHeight + 2, time, kTimeColour, milliseconds(all[i].handler_ms(0.5)));
  }
  return svg + "</svg>\n";
}

}  // namespace ebb::tune
