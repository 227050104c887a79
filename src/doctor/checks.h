// The judgement of `ebb doctor`: facts in, findings out. Pure functions; every one of them is tested with made-up
// hosts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "doctor/host.h"

namespace ebb::doctor {

enum class Verdict : std::uint8_t { kOk, kWarning, kProblem };

struct Finding {
  std::string id{};  // stable, for programs: "favordynmods"
  Verdict verdict = Verdict::kOk;
  std::string found{};   // what is, or is missing
  std::string costs{};   // what that means for a node; empty when all is well
  std::string remedy{};  // the command, or the step, that mends it; empty when all is well or nothing can
};

/// All checks, in the order in which they are read.
std::vector<Finding> examine(const Host& host, const Wanted& wanted);

// The groups of it, for checks*.cc.
void examine_kernel(const Host& host, std::vector<Finding>& findings);
void examine_walls(const Host& host, const Wanted& wanted, std::vector<Finding>& findings);
void examine_limits(const Host& host, const Wanted& wanted, std::vector<Finding>& findings);
void examine_machine(const Host& host, const Wanted& wanted, std::vector<Finding>& findings);
void examine_programs(const Host& host, const Wanted& wanted, std::vector<Finding>& findings);

}  // namespace ebb::doctor
