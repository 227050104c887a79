// A file of fixed size mapped shared into memory: what is stored in it survives SIGKILL of the process at any
// instruction, because the pages belong to the kernel. A power failure loses what was not flushed.
//
// Invariant: every byte of a created file has its disk block before it is mapped, so that a full disk is an error here
// and not a SIGBUS at some later store. (Copy-on-write file systems may still run out; data directories belong on ext4
// or xfs.)
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace ebb::store {

class MappedFile {
 public:
  /// Makes the file, zero-filled, and its directory entry durable. `fill` gets the bytes before the file has its name.
  /// Errors: kUnavailable (disk full), kConflict (exists), kInternal. Nothing is left behind by an error.
  template <typename Fill>
  static base::Result<MappedFile> create(const std::filesystem::path& path, std::size_t size, Fill fill);

  /// Maps an existing file. Errors: kNotFound, kInternal when its size is not `size`.
  enum class Access { kRead, kWrite };
  static base::Result<MappedFile> open(const std::filesystem::path& path, std::size_t size, Access access);

  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }
  /// Forces changed pages to disk: msync(MS_SYNC). Blocks. Threads: any.
  base::Result<void> flush() const;

 private:
  explicit MappedFile(std::span<std::byte> bytes) : bytes_(bytes) {}
  static base::Result<MappedFile> create_unnamed(const std::filesystem::path& temp, std::size_t size);
  base::Result<void> give_name(const std::filesystem::path& temp, const std::filesystem::path& path) const;

  std::span<std::byte> bytes_;
};

template <typename Fill>
base::Result<MappedFile> MappedFile::create(const std::filesystem::path& path, std::size_t size, Fill fill) {
  std::filesystem::path temp = path;
  temp += ".new";
  EBB_TRY(MappedFile file, create_unnamed(temp, size));
  fill(file.bytes());
  EBB_CHECKED(file.give_name(temp, path));
  return file;
}

}  // namespace ebb::store
