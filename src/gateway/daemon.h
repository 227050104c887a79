// The daemon's role: everything that talks to the network. Started by the launcher, without privilege, with the
// launcher's socket as descriptor 3; when the launcher goes, so does the daemon. Called by main.cc for `ebb daemon`,
// which people never type.
#pragma once

#include "model/config.h"
#include "os/fd.h"

namespace ebb::gateway {

/// Serves until SIGTERM or SIGINT, then drains for at most limits::kDrainTimeout; a second signal ends it at once.
/// Prints "listening on http(s)://HOST:PORT" to standard output once it serves. Gives the exit status; errors are in
/// the log.
int run_daemon(const model::Config& config, os::Fd launcher_socket);

}  // namespace ebb::gateway
