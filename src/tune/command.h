// `ebb tune FUNCTION`: calls a function at several sizes and says which one to take.
#pragma once

#include <CLI/App.hpp>

#include "cli/commands.h"

namespace ebb::tune {

/// Declares the command on the command line. Called by the command line, to which main.cc hands it.
void add_tune(CLI::App& app, cli::Session& session);

}  // namespace ebb::tune
