// Ctrl-C for commands that leave something on the node while they run and must take it away again.
#pragma once

#include "io/task.h"

namespace ebb::cli {

/// Runs what was spawned on the context to its end, or to SIGINT or SIGTERM: true then, and what was under way stays
/// where it is until the context goes. One thread, the caller's.
bool run_until_interrupted(io::asio::io_context& context);

/// Exit status after Ctrl-C, as shells have it.
inline constexpr int kInterrupted = 130;

}  // namespace ebb::cli
