// The outcomes of simulated runs as a table for people and as JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "sim/experiment.h"

namespace ebb::sim {

struct Report {
  std::string trace;  // its name, for the heading
  std::uint64_t functions = 0;
  std::uint32_t minutes = 0;
  ExperimentOptions options;
  std::string measured_on;
  std::vector<Outcome> outcomes;  // the rows of the table
  std::vector<Outcome> frontier;  // the same policy at other prices; may be empty
};

std::string to_table(const Report& report);
std::string to_json_text(const Report& report);
std::string_view name_of(Spread spread);

}  // namespace ebb::sim
