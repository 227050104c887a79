#include "gateway/daemon_walls.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/sanitizer.h"
#include "os/credentials.h"
#include "os/landlock.h"
#include "os/seccomp.h"

namespace ebb::gateway {

base::Result<> raise_walls(const model::Config& config) {
  EBB_CHECKED(os::forbid_new_privileges());
  const int abi = os::landlock_abi();
  if (abi == 0) {
    base::log(base::LogLevel::kWarning, "no landlock on this kernel",
              {{"cost", "instances and the daemon have one wall less; boot with lsm=landlock,..."}});
    return {};
  }
  if (abi < 6) {
    base::log(
        base::LogLevel::kWarning, "landlock of this kernel is old",
        {{"abi", abi}, {"cost", "instances of one version can meet at abstract sockets; Linux 6.12 closes that"}});
  } else {
    base::log(base::LogLevel::kInfo, "landlock", {{"abi", abi}});
  }
  // SQLite's and other libraries' temporary files: there is no other place to write.
  ::setenv("SQLITE_TMPDIR", config.data_dir.c_str(), 1);
  ::setenv("TMPDIR", config.data_dir.c_str(), 1);
  // Reading is left to the account's rights: certificates and the like lie anywhere. Programs only for the one question
  // to the interpreter; seal_walls takes them away.
  const std::vector<os::PathRule> rules = {{.path = "/", .access = os::PathAccess::kReadExecute},
                                           {.path = config.data_dir, .access = os::PathAccess::kReadWrite},
                                           {.path = "/dev/null", .access = os::PathAccess::kDevice}};
  return os::restrict_files(rules);
}

base::Result<> seal_walls() {
  // The leak check of a sanitizer starts a process that traces this one.
  if (base::kSanitized) return {};
  EBB_TRY(const os::SyscallFilter filter, os::SyscallFilter::compile(os::SyscallProfile::kDaemon));
  return filter.install(os::Threads::kAll);
}

}  // namespace ebb::gateway
