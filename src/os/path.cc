#include "os/path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace ebb::os {

base::Result<Fd> open_beneath(const Fd& directory, const char* path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const long fd = ::syscall(SYS_openat2, directory.get(), path, &how, sizeof how);
  if (fd >= 0) return Fd(static_cast<int>(fd));
  base::Error error = base::os_error(std::string("open ") + path, errno);
  if (error.os_errno == ELOOP || error.os_errno == EXDEV) error.code = base::Code::kPermissionDenied;
  return error;
}

base::Result<Fd> open_directory(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return base::os_error(std::string("open directory ") + path, errno);
  return Fd(fd);
}

}  // namespace ebb::os
