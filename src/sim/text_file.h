// Writing what a command was asked to leave in a file: a chart.
#pragma once

#include <string>

#include "base/result.h"

namespace ebb::sim {

/// Replaces the file. Errors: kInvalidArgument when it cannot be written.
base::Result<void> write_text(const std::string& path, const std::string& text);

}  // namespace ebb::sim
