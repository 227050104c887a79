#include "store/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "os/fd.h"

namespace ebb::store {
namespace {

base::Error file_error(std::string_view what, const std::filesystem::path& path, int os_errno) {
  base::Error error = base::os_error(std::string(what) + " " + path.string(), os_errno);
  if (os_errno == ENOSPC || os_errno == EDQUOT) {
    error.code = base::Code::kUnavailable;
    error.message += ": free some disk space";
  }
  if (os_errno == ENOENT) error.code = base::Code::kNotFound;
  return error;
}

// Gives every byte its block, by writing where the file system lacks fallocate.
int allocate(int fd, std::size_t size) {
  while (fallocate(fd, 0, 0, static_cast<off_t>(size)) != 0) {
    if (errno == EINTR) continue;
    if (errno != EOPNOTSUPP) return errno;
    static constexpr std::array<char, 64 * 1024> kZeros{};
    std::size_t done = 0;
    while (done < size) {
      const ssize_t put = pwrite(fd, kZeros.data(), std::min(kZeros.size(), size - done), static_cast<off_t>(done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return errno;
      done += static_cast<std::size_t>(put);
    }
    return 0;
  }
  return 0;
}

base::Result<std::span<std::byte>> map(int fd, const std::filesystem::path& path, std::size_t size, int protection) {
  void* at = mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return file_error("map", path, errno);
  return std::span(static_cast<std::byte*>(at), size);
}

}  // namespace

base::Result<MappedFile> MappedFile::create_unnamed(const std::filesystem::path& temp, std::size_t size) {
  // A leftover of a killed process is overwritten: it has no name that anybody reads.
  const os::Fd fd(::open(temp.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!fd.valid()) return file_error("create", temp, errno);
  if (const int failed = allocate(fd.get(), size); failed != 0) {
    unlink(temp.c_str());
    return file_error("reserve space for", temp, failed);
  }
  auto mapped = map(fd.get(), temp, size, PROT_READ | PROT_WRITE);
  if (!mapped) {
    unlink(temp.c_str());
    return std::move(mapped).error();
  }
  return MappedFile(*mapped);
}

base::Result<void> MappedFile::give_name(const std::filesystem::path& temp, const std::filesystem::path& path) const {
  const auto attempt = [&]() -> base::Result<void> {
    EBB_CHECKED(flush());
    const os::Fd directory(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid()) return file_error("open", path.parent_path(), errno);
    if (renameat2(AT_FDCWD, temp.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
      base::Error error = file_error("create", path, errno);
      if (error.os_errno == EEXIST) error.code = base::Code::kConflict;
      return error;
    }
    if (fsync(directory.get()) != 0) return file_error("flush", path.parent_path(), errno);
    return {};
  };
  auto done = attempt();
  if (!done) unlink(temp.c_str());
  return done;
}

base::Result<MappedFile> MappedFile::open(const std::filesystem::path& path, std::size_t size, Access access) {
  const bool write = access == Access::kWrite;
  const os::Fd fd(::open(path.c_str(), (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return file_error("open", path, errno);
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return file_error("open", path, errno);
  // A shorter file would be a SIGBUS at its missing pages.
  if (status.st_size < 0 || static_cast<std::size_t>(status.st_size) != size) {
    return base::internal(path.string() + " has " + std::to_string(status.st_size) + " bytes instead of " +
                          std::to_string(size) + ", it is damaged: move it away");
  }
  EBB_TRY(const auto bytes, map(fd.get(), path, size, write ? PROT_READ | PROT_WRITE : PROT_READ));
  return MappedFile(bytes);
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

base::Result<void> MappedFile::flush() const {
  if (msync(bytes_.data(), bytes_.size(), MS_SYNC) != 0) return base::os_error("flush a mapped file", errno);
  return {};
}

}  // namespace ebb::store
