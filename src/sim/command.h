// `ebb sim`: the simulator on the command line. main.cc lists and dispatches it.
#pragma once

#include <string>
#include <vector>

namespace ebb::sim {

/// Gives the exit status.
int run_command(std::vector<std::string> arguments);

}  // namespace ebb::sim
