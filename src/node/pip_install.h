// How pip makes a layer, and that it is the same one, byte for byte, wherever the same wheels are installed by the same
// Python: pip itself would compile in a folder with a random name, and note in each .pyc when that was.
// Called by Deployments, for requirements and for ONNX Runtime.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ebb::node {

/// The command of a build that installs to /ebb/out what `arguments` of `pip install` say, and compiles it for where it
/// will lie. `first`: a command of the shell that goes before.
std::vector<std::string> pip_install(const std::string& python, std::vector<std::string> arguments,
                                     std::string_view first = "");

}  // namespace ebb::node
