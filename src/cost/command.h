// `ebb cost`: what traffic costs by use, beside servers bought for its peak.
#pragma once

#include <CLI/App.hpp>

#include "cli/commands.h"

namespace ebb::cost {

/// Declares the command on the command line. Called by the command line, to which main.cc hands it.
void add_cost(CLI::App& app, cli::Session& session);

}  // namespace ebb::cost
