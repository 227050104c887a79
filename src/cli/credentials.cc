#include "cli/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "base/limits_access.h"
#include "cli/rest.h"
#include "model/access_key.h"
#include "model/local_node.h"

namespace ebb::cli {
namespace {

class File {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), failed_(errno) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return fd_; }
  int failed() const { return fd_ < 0 ? failed_ : 0; }

 private:
  int fd_;
  int failed_;
};

struct KeyFile {
  std::string text;
  uid_t owner = 0;
};

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  while (!text.empty() && text.front() == ' ') text.erase(0, 1);
  return text;
}

base::Result<KeyFile> read_private(const std::string& path) {
  const File file(path);
  if (file.failed() == ENOENT) return base::not_found("there is no key file " + path);
  if (file.failed() != 0) return base::os_error("read key file " + path, file.failed());
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return base::os_error("read key file " + path, errno);
  if (S_ISREG(status.st_mode) && (status.st_mode & 077) != 0) {
    return base::Error{.code = base::Code::kPermissionDenied,
                       .message = "key file " + path + " can be read by other accounts: chmod 600 " + path};
  }
  KeyFile key{.text = {}, .owner = status.st_uid};
  std::array<char, limits::kKeyFileBytes> buffer{};
  for (;;) {
    const ssize_t size = ::read(file.get(), buffer.data(), buffer.size());
    if (size < 0) return base::os_error("read key file " + path, errno);
    if (size == 0) break;
    key.text.append(buffer.data(), static_cast<std::size_t>(size));
    if (key.text.size() > limits::kControlBodyBytes) break;
  }
  return key;
}

base::Result<std::string> checked(std::string key, const std::string& where) {
  key = trimmed(std::move(key));
  if (model::key_id_of(key)) return key;
  return base::invalid_argument(where + " holds no key of Ebb (ebb_..., one line)");
}

// Lines "URL KEY"; '#' begins a comment.
base::Result<std::string> from_list(const std::string& path, const std::string& url) {
  auto file = read_private(path);
  if (!file && file.error().code == base::Code::kNotFound) return std::string();
  if (!file) return file.error();
  std::istringstream lines(file->text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    std::string key;
    words >> name >> key;
    if (without_slash(name) == url) return checked(key, "the line of " + url + " in " + path);
  }
  return std::string();
}

// Accounts that listen on the port, by the kernel's own list.
std::set<uid_t> listeners(unsigned port) {
  constexpr const char* kListening = "0A";
  std::set<uid_t> uids;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string number, local, remote, state, queues, timer, retransmits;
      uid_t uid = 0;
      words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> uid;
      const auto colon = local.rfind(':');
      if (!words || state != kListening || colon == std::string::npos) continue;
      if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port) uids.insert(uid);
    }
  }
  return uids;
}

base::Result<std::string> of_local_node(const std::string& url) {
  const auto port = model::loopback_port(url);
  if (!port) return std::string();
  auto file = read_private(model::local_key_link(*port));
  if (!file) return std::string();  // not this machine's owner, or no such node: the daemon says what it wants
  for (const uid_t uid : listeners(*port)) {
    if (uid == file->owner) continue;
    return base::Error{
        .code = base::Code::kPermissionDenied,
        .message = "port " + std::to_string(*port) +
                   " is served by another account than Ebb's, the local "
                   "admin key is not shown to it: name another daemon with --url, or a key with --key-file"};
  }
  return checked(std::move(file->text), model::local_key_link(*port));
}

}  // namespace

base::Result<std::string> find_key(const std::string& url, const std::string& key_file) {
  const std::string plain = without_slash(url);
  if (!key_file.empty()) {
    EBB_TRY(KeyFile file, read_private(key_file));
    return checked(std::move(file.text), "key file " + key_file);
  }
  const char* key = std::getenv("EBB_KEY");
  if (key != nullptr && *key != '\0') return checked(key, "EBB_KEY");
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') {
    EBB_TRY(std::string listed, from_list(std::string(home) + "/.config/ebb/keys", plain));
    if (!listed.empty()) return listed;
  }
  return of_local_node(plain);
}

}  // namespace ebb::cli
