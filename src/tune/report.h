// How a trial's outcome is shown. Costs are in CU of 1,000 calls, times in milliseconds of the handler.
#pragma once

#include <string>

#include "cli/terminal.h"
#include "tune/advice.h"

namespace ebb::tune {

/// What was asked for, for the head of a report.
struct Subject {
  std::string function;  // "app/function"
  std::uint32_t calls = 0;
  Aim aim = Aim::kBalance;
};

std::string to_table(const Subject& subject, const std::vector<Measured>& all, const std::optional<Advice>& advice,
                     const cli::Terminal& terminal);
std::string to_json_text(const Subject& subject, const std::vector<Measured>& all, const std::optional<Advice>& advice);
/// An SVG: each size's cost and median as bars.
std::string to_chart(const Subject& subject, const std::vector<Measured>& all, const std::optional<Advice>& advice);

}  // namespace ebb::tune
