#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "cli/ignore_rules.h"

namespace ebb::cli {
namespace {

namespace fs = std::filesystem;
using base::Result;

struct Entry {
  std::string path;  // relative, '/' between parts
  struct stat status{};
};

base::Error too_large(std::string message) {
  return base::Error{.code = base::Code::kTooLarge, .message = std::move(message)};
}

struct OpenFile {
  // O_NONBLOCK: a pipe put in the file's place must not hang us.
  explicit OpenFile(const std::string& path)
      : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) {}
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  const int fd;
};

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<void> check_entry(const Entry& entry) {
  const auto depth = static_cast<std::size_t>(std::count(entry.path.begin(), entry.path.end(), '/'));
  if (depth > limits::kPackagePathDepth) {
    return base::invalid_argument(entry.path + " lies more than " + std::to_string(limits::kPackagePathDepth) +
                                  " folders deep, flatten it or name it in .ebbignore");
  }
  if (entry.path.size() > limits::kPackagePathBytes) {
    return base::invalid_argument(entry.path + " is longer than " + std::to_string(limits::kPackagePathBytes) +
                                  " bytes, rename it or name it in .ebbignore");
  }
  for (const char c : entry.path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return base::invalid_argument("a file name in " + entry.path.substr(0, entry.path.rfind('/')) +
                                    " holds a control character, rename it or name it in .ebbignore");
    }
  }
  if (!S_ISDIR(entry.status.st_mode) && !S_ISREG(entry.status.st_mode) && !S_ISLNK(entry.status.st_mode)) {
    return base::invalid_argument(entry.path +
                                  " is a device, socket or pipe: only files, folders and links can be deployed, "
                                  "remove it or name it in .ebbignore");
  }
  return {};
}

// All entries below `folder`, folders before what they hold.
Result<void> walk(const std::string& root, const std::string& folder, const IgnoreRules& rules,
                  std::vector<Entry>& entries) {
  std::error_code failed;
  fs::directory_iterator children(folder.empty() ? root : root + "/" + folder, failed);
  if (failed)
    return base::invalid_argument("cannot read folder " + (folder.empty() ? root : folder) + ": " + failed.message());
  for (; children != fs::directory_iterator(); children.increment(failed)) {
    const std::string name = children->path().filename().string();
    Entry entry{.path = folder.empty() ? name : folder + "/" + name};
    if (lstat((root + "/" + entry.path).c_str(), &entry.status) != 0) {
      if (errno == ENOENT) continue;  // gone since it was listed
      return base::os_error("cannot look at " + entry.path, errno);
    }
    const bool is_folder = S_ISDIR(entry.status.st_mode);
    if (rules.leaves_out(entry.path, is_folder)) continue;
    EBB_CHECKED(check_entry(entry));
    if (entries.size() == limits::kPackageEntries) {
      return too_large("the folder holds more than " + std::to_string(limits::kPackageEntries) +
                       " files and folders, the most of a package: name what is not needed in .ebbignore");
    }
    entries.push_back(entry);
    if (is_folder) EBB_CHECKED(walk(root, entry.path, rules, entries));
  }
  if (failed) return base::invalid_argument("cannot read folder " + folder + ": " + failed.message());
  return {};
}

/// The target of a link at `path`, if it stays inside the folder when followed by name.
Result<std::string> inner_link(const std::string& root, const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t length = readlink((root + "/" + path).c_str(), target.data(), target.size());
  if (length < 0) return base::os_error("cannot read the link " + path, errno);
  std::string text(target.data(), static_cast<std::size_t>(length));
  const base::Error leaves = base::invalid_argument(
      path + " is a link to " + text + ", which lies outside the folder: copy the file or name the link in .ebbignore");
  if (text.empty() || text.front() == '/') return leaves;
  const fs::path resolved = (fs::path(path).parent_path() / text).lexically_normal();
  if (!resolved.empty() && *resolved.begin() == "..") return leaves;
  return text;
}

// libarchive writes here; a write beyond the upload limit fails the archive.
struct Sink {
  std::string bytes;
  bool overflowed = false;
};

la_ssize_t write_to_sink(archive*, void* data, const void* buffer, std::size_t length) {
  auto* sink = static_cast<Sink*>(data);
  if (sink->bytes.size() + length > limits::kPackageUploadBytes) {
    sink->overflowed = true;
    return -1;
  }
  sink->bytes.append(static_cast<const char*>(buffer), length);
  return static_cast<la_ssize_t>(length);
}

class Writer {
 public:
  Writer() : archive_(archive_write_new(), &archive_write_free) {
    EBB_CHECK(archive_ != nullptr);
    archive_write_set_format_pax_restricted(archive_.get());
    archive_write_add_filter_gzip(archive_.get());
    // A time in the gzip header would make every archive differ.
    archive_write_set_filter_option(archive_.get(), "gzip", "timestamp", nullptr);
    archive_write_set_bytes_in_last_block(archive_.get(), 1);
  }

  Result<void> open() { return check(archive_write_open(archive_.get(), &sink_, nullptr, &write_to_sink, nullptr)); }

  Result<void> add(const std::string& root, const Entry& source, Package& package) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), &archive_entry_free);
    archive_entry_set_pathname(entry.get(), source.path.c_str());
    archive_entry_set_mtime(entry.get(), 0, 0);
    archive_entry_set_uid(entry.get(), 0);
    archive_entry_set_gid(entry.get(), 0);
    if (S_ISDIR(source.status.st_mode)) {
      archive_entry_set_filetype(entry.get(), AE_IFDIR);
      archive_entry_set_perm(entry.get(), 0755);
      return check(archive_write_header(archive_.get(), entry.get()));
    }
    ++package.files;
    if (S_ISLNK(source.status.st_mode)) {
      EBB_TRY(const std::string target, inner_link(root, source.path));
      archive_entry_set_filetype(entry.get(), AE_IFLNK);
      archive_entry_set_perm(entry.get(), 0777);
      archive_entry_set_symlink(entry.get(), target.c_str());
      return check(archive_write_header(archive_.get(), entry.get()));
    }
    return add_file(root, source, entry.get(), package);
  }

  Result<std::string> finish() {
    EBB_CHECKED(check(archive_write_close(archive_.get())));
    return std::move(sink_.bytes);
  }

 private:
  Result<void> add_file(const std::string& root, const Entry& source, archive_entry* entry, Package& package) {
    const OpenFile file(root + "/" + source.path);
    if (file.fd < 0) return base::os_error("cannot read " + source.path, errno);
    struct stat status{};
    if (fstat(file.fd, &status) != 0) return base::os_error("cannot look at " + source.path, errno);
    if (!S_ISREG(status.st_mode))
      return base::invalid_argument(source.path + " changed while it was packed, try again");
    package.unpacked_bytes += static_cast<std::uint64_t>(status.st_size);
    if (package.unpacked_bytes > limits::kPackageUnpackedBytes) {
      return too_large("the folder is larger than " + base::to_string(base::Bytes{limits::kPackageUnpackedBytes}) +
                       ", the most of a package (reached at " + source.path +
                       "): name what is not needed in .ebbignore");
    }
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, (status.st_mode & 0111) != 0 ? 0755 : 0644);
    archive_entry_set_size(entry, status.st_size);
    EBB_CHECKED(check(archive_write_header(archive_.get(), entry)));
    std::array<char, 65536> buffer;
    auto left = static_cast<std::uint64_t>(status.st_size);
    while (left > 0) {
      const ssize_t got =
          read(file.fd, buffer.data(), static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size())));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::os_error("cannot read " + source.path, errno);
      if (got == 0) return base::invalid_argument(source.path + " changed while it was packed, try again");
      if (archive_write_data(archive_.get(), buffer.data(), static_cast<std::size_t>(got)) < 0)
        return check(ARCHIVE_FATAL);
      left -= static_cast<std::uint64_t>(got);
    }
    return {};
  }

  Result<void> check(int status) {
    if (status == ARCHIVE_OK || status == ARCHIVE_WARN) return {};
    if (sink_.overflowed) {
      return too_large("the package is larger than " + base::to_string(base::Bytes{limits::kPackageUploadBytes}) +
                       " compressed, the most of an upload: name what is not needed in .ebbignore");
    }
    const char* why = archive_error_string(archive_.get());
    return base::internal(std::string("packing failed: ") + (why != nullptr ? why : "unknown reason"));
  }

  Sink sink_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
};

}  // namespace

Result<Package> pack_folder(const std::string& folder, bool with_node_modules) {
  std::vector<Entry> entries;
  const IgnoreRules rules((with_node_modules ? "!node_modules\n" : "") + read_text(folder + "/.ebbignore"));
  EBB_CHECKED(walk(folder, "", rules, entries));
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
  Package package;
  Writer writer;
  EBB_CHECKED(writer.open());
  for (const Entry& entry : entries) EBB_CHECKED(writer.add(folder, entry, package));
  EBB_TRY(package.archive, writer.finish());
  return package;
}

}  // namespace ebb::cli
