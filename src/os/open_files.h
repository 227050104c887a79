// How many files this process may have open: connections, channels, pipes and control groups are files, and a busy node
// has tens of thousands.
#pragma once

#include <cstdint>

namespace ebb::os {

/// Raises the limit to what the process may have: its hard limit, and with CAP_SYS_RESOURCE (of the whole machine) a
/// million, the kernel's own bound unless fs.nr_open says otherwise. Children inherit it. What it is now; 0 when the
/// kernel does not tell.
std::uint64_t raise_open_files();

}  // namespace ebb::os
