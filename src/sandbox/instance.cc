#include "sandbox/instance.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace ebb::sandbox {

base::Result<std::shared_ptr<Instance>> Instance::make(base::InstanceId instance, os::Fd* peer) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return base::os_error("channel of an instance", errno);
  }
  *peer = os::Fd(ends[1]);
  return std::make_shared<Instance>(instance, os::Fd(ends[0]));
}

}  // namespace ebb::sandbox
