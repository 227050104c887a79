#include "replay/chart.h"

#include <algorithm>

#include "sim/chart_panel.h"
#include "sim/formatted.h"

namespace ebb::replay {
namespace {

using sim::ChartKey;
using sim::Panel;

constexpr ChartKey kUsed{"#2a9d4a", "used, live"};
constexpr ChartKey kUsedPredicted{"#7fc796", "used, predicted"};
constexpr ChartKey kHeld{"#1f5fbf", "held, live"};
constexpr ChartKey kHeldPredicted{"#8fb0e0", "held, predicted"};
constexpr const char* kDashed = "stroke-dasharray=\"7 4\"";

}  // namespace

std::string replay_chart(const Comparison& comparison) {
  const sim::Totals& live = comparison.live.totals;
  const sim::Totals& predicted = comparison.predicted;
  const double minutes = comparison.plan.options.minutes;
  std::string svg = sim::chart_head(560);
  svg += sim::chart_keys({kUsed, kUsedPredicted, kHeld, kHeldPredicted});
  Panel traffic(75, 200, sim::most(live.calls_by_minute), minutes, "Traffic: calls in a minute of the trace");
  traffic.curve(live.calls_by_minute, "#555555", true);
  const double top = std::max({sim::most(live.held_by_minute), sim::most(predicted.held_by_minute),
                               sim::most(live.used_by_minute), sim::most(predicted.used_by_minute)});
  Panel memory(265, 530, top, minutes, "Memory: GB, averages of a minute of the trace");
  memory.curve(live.used_by_minute, kUsed.stroke, true);
  memory.curve(predicted.used_by_minute, kUsedPredicted.stroke, false, kDashed);
  memory.curve(predicted.held_by_minute, kHeldPredicted.stroke, false, kDashed);
  memory.curve(live.held_by_minute, kHeld.stroke, false);
  return svg + traffic.text() + memory.text() + "</svg>\n";
}

}  // namespace ebb::replay
