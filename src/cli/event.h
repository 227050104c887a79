// The event of a call as it is given on the command line. Called by invoke.cc, and by commands of other parts that call
// functions.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "base/result.h"

namespace ebb::cli {

struct EventOptions {
  std::string data;       // --data
  std::string data_file;  // --data-file; "-" is standard input
};

/// Declares --data and --data-file, which exclude each other.
void add_event_options(CLI::App& command, EventOptions& options);

/// As it was given, "" when it was not. Errors: kNotFound when the file cannot be read.
base::Result<std::string> read_event(const EventOptions& options);
/// "{}" when none was given. Errors: also kInvalidArgument when it is not JSON.
base::Result<std::string> read_json_event(const EventOptions& options);

}  // namespace ebb::cli
