// The daemon as the launcher's child: started without privilege from the launcher's own binary, with the socket as
// descriptor 3. It dies with the launcher.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "os/clone.h"
#include "os/fd.h"

namespace ebb::launcher {

struct DaemonProcess {
  os::ChildProcess child;
  os::Fd socket;  // the launcher's end
};

/// `executable` is an open /proc/self/exe: the daemon is the same build as the launcher even while files are replaced.
/// `variables`: of shed_inherited_state; the daemon has them in its environment, we do not.
base::Result<DaemonProcess> start_daemon(const os::Fd& executable, const os::Fd& variables,
                                         const std::vector<std::string>& argv, uid_t uid, gid_t gid);

}  // namespace ebb::launcher
