#include "store/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "base/bytes.h"
#include "os/fd.h"
#include "store/sha256.h"

namespace ebb::store {
namespace {

using Kind = PackageEntry::Kind;
using base::Result;

constexpr std::size_t kReadBytes = 64 * 1024;

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, CloseArchive>;

// libarchive converts names by the thread's locale; in "C" it would refuse every name beyond ASCII.
class Utf8Scope {
 public:
  Utf8Scope() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = uselocale(locale_);
  }
  ~Utf8Scope() {
    if (locale_ == nullptr) return;
    uselocale(before_);
    freelocale(locale_);
  }
  Utf8Scope(const Utf8Scope&) = delete;
  Utf8Scope& operator=(const Utf8Scope&) = delete;

 private:
  locale_t locale_;
  locale_t before_ = nullptr;
};

base::Error disk_error(std::string_view what, int os_errno) {
  base::Error error = base::os_error(what, os_errno);
  if (os_errno == ENOSPC || os_errno == EDQUOT) {
    error.code = base::Code::kUnavailable;
    error.message += ": free some disk space and deploy again";
  }
  return error;
}

base::Error archive_error(archive* a) {
  const char* text = archive_error_string(a);
  return base::invalid_argument(std::string("the package cannot be unpacked: ") +
                                (text == nullptr ? "it is damaged" : text) + " (give a tar, tar.gz or zip)");
}

Result<Archive> open_archive(const ArchiveSource& source) {
  Archive a(archive_read_new());
  if (a == nullptr) return base::internal("unpack package: out of memory");
  // Only these: each further format is more attack surface.
  archive_read_support_filter_gzip(a.get());
  archive_read_support_format_tar(a.get());
  archive_read_support_format_zip(a.get());
  const int rc = source.file.empty() ? archive_read_open_memory(a.get(), source.bytes.data(), source.bytes.size())
                                     : archive_read_open_filename(a.get(), source.file.c_str(), kReadBytes);
  if (rc != ARCHIVE_OK) return archive_error(a.get());
  return a;
}

class Unpacker {
 public:
  Unpacker(archive* a, int root, const PackageLimits& package_limits)
      : archive_(a), root_(root), limits_(package_limits), tree_(package_limits.entries) {}

  Result<PackageTree> run() {
    while (true) {
      archive_entry* entry = nullptr;
      const int rc = archive_read_next_header(archive_, &entry);
      if (rc == ARCHIVE_EOF) break;
      // A warning is about a name or time that could not be converted; take_entry judges the name itself.
      if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return archive_error(archive_);
      // One gzip around a tar and libarchive's own pseudo filter; gzip within gzip only serves bombs.
      if (archive_filter_count(archive_) > 2) return base::invalid_argument("the package is compressed more than once");
      EBB_CHECKED(take_entry(entry));
    }
    if (tree_.entries().empty()) return base::invalid_argument("the package is empty");
    EBB_CHECKED(tree_.check_symlinks());
    EBB_CHECKED(make_symlinks());
    return std::move(tree_);
  }

 private:
  Result<void> take_entry(archive_entry* entry) {
    const char* utf8 = archive_entry_pathname_utf8(entry);
    const char* name = utf8 != nullptr ? utf8 : archive_entry_pathname(entry);
    if (name == nullptr) return base::invalid_argument("the package has an entry whose name is not UTF-8");
    EBB_TRY(const std::string path, PackageTree::plain_path(name));
    if (archive_entry_hardlink(entry) != nullptr) return take_hard_link(path, entry);
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR: return take_directory(path);
      case AE_IFREG: return take_file(path, entry);
      case AE_IFLNK: return take_symlink(path, entry);
      default:
        return base::invalid_argument("package entry '" + path +
                                      "' is a device, pipe or socket, only files, directories and symlinks are taken");
    }
  }

  Result<void> take_directory(const std::string& path) {
    EBB_CHECKED(tree_.add(path, PackageEntry{}));
    return make_directories(path);
  }

  Result<void> take_symlink(const std::string& path, archive_entry* entry) {
    const char* target = archive_entry_symlink_utf8(entry);
    if (target == nullptr) target = archive_entry_symlink(entry);
    const std::string_view text = target == nullptr ? "" : target;
    const auto refuse = [&](std::string_view why) {
      return base::invalid_argument("package entry '" + path + "' is a symlink " + std::string(why));
    };
    if (text.empty()) return refuse("without a target");
    if (text.front() == '/') return refuse("to an absolute path, which leads out of the package");
    if (text.size() > limits::kPackagePathBytes) return refuse("with too long a target");
    for (const char c : text) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return refuse("with a control character in its target");
    }
    return tree_.add(path, PackageEntry{.kind = Kind::kSymlink, .target = std::string(text)});
  }

  // Within the package a hard link is the same file once more; out of it there is nothing to link to.
  Result<void> take_hard_link(const std::string& path, archive_entry* entry) {
    EBB_TRY(const std::string target, PackageTree::plain_path(archive_entry_hardlink(entry)));
    const PackageEntry* file = tree_.find(target);
    if (file == nullptr || file->kind != Kind::kFile) {
      return base::invalid_argument("package entry '" + path + "' is a hard link to '" + target +
                                    "', which is not a file earlier in the package");
    }
    EBB_CHECKED(tree_.add(path, *file));
    EBB_CHECKED(make_directories(parent_of(path)));
    if (linkat(root_, target.c_str(), root_, path.c_str(), 0) != 0) return disk_error("unpack " + path, errno);
    return {};
  }

  Result<void> take_file(const std::string& path, archive_entry* entry) {
    // Believed only to stop early; what counts is what is written.
    if (archive_entry_size_is_set(entry) && archive_entry_size(entry) > 0 &&
        static_cast<std::uint64_t>(archive_entry_size(entry)) > limits_.bytes - written_) {
      return too_large();
    }
    PackageEntry file{.kind = Kind::kFile, .executable = (archive_entry_perm(entry) & 0111) != 0};
    // Taken in the tree first: a path that is refused must not be written.
    EBB_CHECKED(tree_.add(path, file));
    EBB_CHECKED(make_directories(parent_of(path)));
    const os::Fd fd(openat(root_, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid()) return disk_error("unpack " + path, errno);
    EBB_CHECKED(copy_data(path, fd.get(), *tree_.find(path)));
    if (fchmod(fd.get(), file.executable ? 0755 : 0644) != 0) return disk_error("unpack " + path, errno);
    return {};
  }

  Result<void> copy_data(const std::string& path, int fd, PackageEntry& file) {
    Sha256 hash;
    std::array<char, kReadBytes> buffer;
    while (true) {
      const la_ssize_t got = archive_read_data(archive_, buffer.data(), buffer.size());
      if (got == 0) break;
      if (got < 0) return archive_error(archive_);
      const auto count = static_cast<std::size_t>(got);
      if (count > limits_.bytes - written_) return too_large();
      written_ += count;
      file.size += count;
      hash.add({buffer.data(), count});
      std::size_t done = 0;
      while (done < count) {
        const ssize_t put = ::write(fd, buffer.data() + done, count - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return disk_error("unpack " + path, errno);
        done += static_cast<std::size_t>(put);
      }
    }
    file.sha256 = hash.finish();
    return {};
  }

  base::Error too_large() const {
    return base::Error{base::Code::kTooLarge, "the package unpacks to more than " +
                                                  base::to_string(base::Bytes{limits_.bytes}) + ", leave files out"};
  }

  static std::string parent_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
  }

  // All of these are in the tree as directories, so none can be a symlink on the disk.
  Result<void> make_directories(const std::string& path) {
    for (std::size_t at = 0; at < path.size();) {
      const auto slash = std::min(path.find('/', at), path.size());
      const std::string prefix = path.substr(0, slash);
      if (mkdirat(root_, prefix.c_str(), 0755) == 0) {
        if (fchmodat(root_, prefix.c_str(), 0755, 0) != 0)
          return disk_error("unpack " + path, errno);  // past the umask
      } else if (errno != EEXIST) {
        return disk_error("unpack " + path, errno);
      }
      at = slash + 1;
    }
    return {};
  }

  Result<void> make_symlinks() {
    for (const auto& [path, entry] : tree_.entries()) {
      if (entry.kind != Kind::kSymlink) continue;
      EBB_CHECKED(make_directories(parent_of(path)));
      if (symlinkat(entry.target.c_str(), root_, path.c_str()) != 0) return disk_error("unpack " + path, errno);
    }
    return {};
  }

  archive* archive_;
  int root_;
  PackageLimits limits_;
  std::uint64_t written_ = 0;
  PackageTree tree_;
};

}  // namespace

Result<PackageTree> unpack_archive(const ArchiveSource& source, const std::filesystem::path& directory,
                                   const PackageLimits& package_limits) {
  const Utf8Scope utf8;
  EBB_TRY(const Archive a, open_archive(source));
  const os::Fd root(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!root.valid()) return disk_error("open " + directory.string(), errno);
  return Unpacker(a.get(), root.get(), package_limits).run();
}

}  // namespace ebb::store
