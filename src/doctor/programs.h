// The part of probing that starts something: programs asked for their version, a network namespace that lives for a
// moment. Every child has a deadline.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "doctor/host.h"

namespace ebb::doctor {

/// What `argv` prints on standard output, at most 4 KiB, when it exits with 0 within 10 s. argv[0]: a path, or a name
/// looked up in PATH.
std::optional<std::string> output_of(const std::vector<std::string>& argv);

/// Fills in Python, Node, runsc and what a network for functions needs of the kernel.
void probe_programs(Host& host, const Wanted& wanted);

}  // namespace ebb::doctor
