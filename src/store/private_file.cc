#include "store/private_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "os/fd.h"

namespace ebb::store {

base::Result<> write_private_file(const std::string& path, std::string_view bytes) {
  const std::string fresh = path + ".new";
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) return base::os_error(fresh, errno);
  const os::Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return base::os_error("make " + fresh, errno);
  const bool written = ::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (!written || ::fsync(file.get()) != 0) return base::os_error("write " + fresh, errno);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return base::os_error("give " + path + " its name", errno);
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  const os::Fd parent(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent.valid()) ::fsync(parent.get());
  return {};
}

}  // namespace ebb::store
