#include "os/namespaces.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "os/file.h"

namespace ebb::os {

base::Result<> write_id_maps(pid_t pid, std::uint32_t host_first, std::uint32_t count) {
  const std::string line = "0 " + std::to_string(host_first) + " " + std::to_string(count) + "\n";
  const std::string process = "/proc/" + std::to_string(pid);
  EBB_CHECKED(write_procfs(process + "/uid_map", line));
  return write_procfs(process + "/gid_map", line);
}

base::Result<> bring_loopback_up() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return base::os_error("socket", errno);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return base::os_error("read flags of lo", errno);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return base::os_error("bring lo up", errno);
  return {};
}

base::Result<> raise_pids_above(std::uint32_t floor) {
  base::Result<> written = write_procfs("/proc/sys/kernel/ns_last_pid", std::to_string(floor));
  if (!written && written.error().os_errno == ENOENT) {
    return base::unavailable(
        "the kernel lacks CONFIG_CHECKPOINT_RESTORE, which zygotes need; use a distribution's kernel");
  }
  return written;
}

}  // namespace ebb::os
