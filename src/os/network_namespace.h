// Network namespaces of a single-threaded process: made, entered for a moment, left again.
//
// A process of several threads must not use this: the namespace belongs to the calling thread.
#pragma once

#include <functional>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

/// The one the caller is in.
base::Result<Fd> present_network_namespace();
/// A new one, with nothing but a loopback that is down. It lives as long as descriptors, sockets or processes of it do.
base::Result<Fd> make_network_namespace();

/// Runs `work` inside of `other`, a namespace's descriptor or a process's pidfd (Linux 5.8), and comes back to `home`.
/// Not being able to come back ends the process: it would go on somewhere else with all its privilege.
base::Result<> within_network_namespace(const Fd& home, const Fd& other, const std::function<base::Result<>()>& work);

}  // namespace ebb::os
