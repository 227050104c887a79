#include "os/file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace ebb::os {
namespace {
constexpr std::size_t kReadBytesMax = 1 << 20;

base::Result<> write_whole(const Fd& file, const std::string& path, std::string_view content) {
  const ssize_t written = ::write(file.get(), content.data(), content.size());
  if (written < 0) return base::os_error("write " + path, errno);
  if (static_cast<std::size_t>(written) != content.size()) return base::internal("short write to " + path);
  return {};
}

}  // namespace

base::Result<> write_file(const std::string& path, std::string_view content) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return base::os_error("open " + path, errno);
  return write_whole(file, path, content);
}

base::Result<> write_procfs(const std::string& path, std::string_view content) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return base::os_error("open " + path, errno);
  struct statfs system{};
  if (::fstatfs(file.get(), &system) != 0) return base::os_error("stat " + path, errno);
  if (system.f_type != PROC_SUPER_MAGIC) {
    return base::Error{.code = base::Code::kPermissionDenied,
                       .message = path + " is not of procfs; something is mounted over it, unmount that"};
  }
  return write_whole(file, path, content);
}

base::Result<std::string> read_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return base::os_error("open " + path, errno);
  std::string content;
  std::array<char, 16 * 1024> block;
  while (content.size() < kReadBytesMax) {
    const ssize_t got = ::read(file.get(), block.data(), block.size());
    if (got < 0) return base::os_error("read " + path, errno);
    if (got == 0) break;
    content.append(block.data(), static_cast<std::size_t>(got));
  }
  return content;
}

base::Result<std::string_view> read_start(const Fd& file, std::span<char> room) {
  const ssize_t got = ::pread(file.get(), room.data(), room.size(), 0);
  if (got < 0) return base::os_error("read file", errno);
  return std::string_view(room.data(), static_cast<std::size_t>(got));
}

base::Result<std::uint64_t> number_in(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(key)) continue;
    std::string_view rest = line.substr(key.size());
    const std::size_t digits = rest.find_first_not_of(" \t");
    if (digits == std::string_view::npos || (!key.empty() && digits == 0)) continue;
    rest.remove_prefix(digits);
    std::uint64_t number = 0;
    if (std::from_chars(rest.data(), rest.data() + rest.size(), number).ec == std::errc()) return number;
  }
  return base::not_found("no number for '" + std::string(key) + "'");
}

}  // namespace ebb::os
