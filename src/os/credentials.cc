#include "os/credentials.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace ebb::os {
namespace {

base::Result<> drop_bounding_set(std::uint64_t but) {
  for (int capability = 0; capability < 64; ++capability) {
    if ((but >> capability & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return {};  // beyond the last capability of this kernel
    return base::os_error("drop the bounding set", errno);
  }
  return {};
}

base::Result<> clear_ambient_set() {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0) return {};
  return base::os_error("clear ambient set", errno);
}

base::Result<> clear_capability_sets() {
  EBB_CHECKED(clear_ambient_set());
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct nothing[2] = {};
  if (::syscall(SYS_capset, &header, nothing) != 0) return base::os_error("drop capabilities", errno);
  return {};
}

}  // namespace

base::Result<> become(uid_t uid, gid_t gid) {
  EBB_CHECKED(drop_bounding_set(0));
  if (::setgroups(0, nullptr) != 0) return base::os_error("setgroups", errno);
  if (::setresgid(gid, gid, gid) != 0) return base::os_error("setresgid", errno);
  if (::setresuid(uid, uid, uid) != 0) return base::os_error("setresuid", errno);
  return clear_capability_sets();
}

base::Result<> keep_capabilities(std::span<const int> kept) {
  std::uint64_t mask = 0;
  for (const int capability : kept) mask |= std::uint64_t{1} << capability;
  EBB_CHECKED(drop_bounding_set(mask));
  EBB_CHECKED(clear_ambient_set());
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[2] = {};
  if (::syscall(SYS_capget, &header, sets) != 0) return base::os_error("read capabilities", errno);
  for (unsigned word = 0; word < 2; ++word) {
    sets[word].permitted &= static_cast<std::uint32_t>(mask >> (32 * word));
    sets[word].effective = sets[word].permitted;
    sets[word].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, sets) != 0) return base::os_error("drop capabilities", errno);
  return {};
}

base::Result<> forbid_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return base::os_error("set no_new_privs", errno);
  return {};
}

base::Result<> die_with_parent(pid_t parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return base::os_error("set parent-death signal", errno);
  if (::getppid() != parent) return base::Error{.code = base::Code::kCancelled, .message = "the parent has ended"};
  return {};
}

}  // namespace ebb::os
