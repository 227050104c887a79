// `ebb replay TRACE`: a recorded day's calls against a live node, beside the simulator's prediction.
#pragma once

#include <CLI/App.hpp>

#include "cli/commands.h"

namespace ebb::replay {

/// Declares the command on the command line. Called by the command line, to which main.cc hands it.
void add_replay(CLI::App& app, cli::Session& session);

}  // namespace ebb::replay
