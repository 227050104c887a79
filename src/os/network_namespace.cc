#include "os/network_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>

#include "base/check.h"

namespace ebb::os {

base::Result<Fd> present_network_namespace() {
  Fd present(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!present.valid()) return base::os_error("open the network namespace", errno);
  return present;
}

base::Result<Fd> make_network_namespace() {
  EBB_TRY(const Fd home, present_network_namespace());
  if (::unshare(CLONE_NEWNET) != 0) return base::os_error("make a network namespace", errno);
  base::Result<Fd> made = present_network_namespace();
  EBB_CHECK(::setns(home.get(), CLONE_NEWNET) == 0);
  return made;
}

base::Result<> within_network_namespace(const Fd& home, const Fd& other, const std::function<base::Result<>()>& work) {
  if (::setns(other.get(), CLONE_NEWNET) != 0) return base::os_error("enter a network namespace", errno);
  base::Result<> done = work();
  EBB_CHECK(::setns(home.get(), CLONE_NEWNET) == 0);
  return done;
}

}  // namespace ebb::os
