// The Python that runs Ebb's own runtime in a sandbox: the host's, also where the root is an image, which may have
// none, or another C library. There it is started by the host's loader with the host's libraries, below /ebb/host
// (sandbox_root.h). Called by Fleet when it makes a sandbox.
#pragma once

#include <string>
#include <vector>

namespace ebb::launcher {

/// The words before the script's own. `python`: its path on the host.
std::vector<std::string> python_command(const std::string& python, bool in_image);

}  // namespace ebb::launcher
