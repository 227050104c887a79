#include "node/local_key.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/limits.h"
#include "base/limits_access.h"
#include "base/log.h"
#include "os/fd.h"
#include "store/access_keys.h"

namespace ebb::node {
namespace {

// "" when there is no file, or one that is not ours to trust.
std::string read_key(const std::string& path) {
  const os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  if (status.st_uid != ::geteuid()) return {};  // somebody else's: a new file takes its place
  if ((status.st_mode & 0777) != 0600) ::fchmod(file.get(), 0600);
  std::array<char, limits::kKeyFileBytes> text{};
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  std::string key(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!key.empty() && (key.back() == '\n' || key.back() == ' ')) key.pop_back();
  return key;
}

base::Result<> write_key(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) return base::os_error(fresh, errno);
  const os::Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return base::os_error("make " + fresh, errno);
  const std::string line = text + "\n";
  const bool written = ::write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (!written || ::fsync(file.get()) != 0) return base::os_error("write " + fresh, errno);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return base::os_error("give " + path + " its name", errno);
  return {};
}

}  // namespace

base::Result<> ensure_local_key(const std::string& data_dir, store::Metadata& metadata) {
  const std::string path = data_dir + "/admin.key";
  const std::string text = read_key(path);
  EBB_TRY(const std::vector<model::AccessKey> keys, metadata.keys());
  for (const model::AccessKey& key : keys) {
    if (key.local && key.role == model::Role::kAdmin && store::matches(key, text)) return {};
  }
  EBB_TRY(store::FreshKey fresh, store::make_key(model::Role::kAdmin, "", "local admin key"));
  fresh.key.local = true;
  // The row first: a file without its row would be replaced at the next start, a row without its file is removed below.
  EBB_CHECKED(metadata.add_key(fresh.key));
  EBB_CHECKED(write_key(path, fresh.text));
  for (const model::AccessKey& key : keys) {
    if (key.local) EBB_CHECKED(metadata.remove_key(key.id));
  }
  base::log(base::LogLevel::kInfo, "local_admin_key_made", {{"file", path}, {"key", fresh.key.id}});
  return {};
}

}  // namespace ebb::node
