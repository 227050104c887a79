#include "node/local_key.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/limits_access.h"
#include "base/log.h"
#include "model/local_node.h"
#include "os/fd.h"
#include "store/access_keys.h"
#include "store/private_file.h"

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

}  // namespace

base::Result<> ensure_local_key(const std::string& data_dir, store::Metadata& metadata) {
  const std::string path = model::local_key_file(data_dir);
  const std::string text = read_key(path);
  EBB_TRY(const std::vector<model::AccessKey> keys, metadata.keys());
  for (const model::AccessKey& key : keys) {
    if (key.local && key.role == model::Role::kAdmin && store::matches(key, text)) return {};
  }
  EBB_TRY(store::FreshKey fresh, store::make_key(model::Role::kAdmin, "", "local admin key"));
  fresh.key.local = true;
  // The row first: a file without its row would be replaced at the next start, a row without its file is removed below.
  EBB_CHECKED(metadata.add_key(fresh.key));
  EBB_CHECKED(store::write_private_file(path, fresh.text + "\n"));
  for (const model::AccessKey& key : keys) {
    if (key.local) EBB_CHECKED(metadata.remove_key(key.id));
  }
  base::log(base::LogLevel::kInfo, "local_admin_key_made", {{"file", path}, {"key", fresh.key.id}});
  return {};
}

}  // namespace ebb::node
