// `ebb doctor`: what of this machine helps or hinders a node, and how to mend it. Run by hand, before or beside
// `ebb serve`; called by main.cc. Single-threaded.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "doctor/checks.h"

namespace ebb::doctor {

/// For a person. With `colour`, verdicts are coloured.
std::string text_of(const std::vector<Finding>& findings, bool colour);
/// {"verdict": "ok|warning|problem", "checks": [{"id", "verdict", "found", "costs", "remedy"}...]}
std::string json_of(const std::vector<Finding>& findings);
/// 0: a node runs here, warnings included; 1: there is a problem.
int exit_status_of(const std::vector<Finding>& findings);

/// Looks, prints to standard output, and gives the exit status.
int run_doctor(const Wanted& wanted, bool json, bool colour);
/// Sets what `name` says ("favordynmods"), machine-wide until reboot. Errors: kInvalidArgument with what can be mended
/// here, kPermissionDenied when not root, the kernel's.
base::Result<> mend(const std::string& name);

}  // namespace ebb::doctor
