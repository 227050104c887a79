// The tree of a package while it is being unpacked, in memory: which paths exist and what they are. All decisions about
// whether an archive's entry is allowed are made here, on text, before anything is written; and symlinks are resolved
// against this tree, never against the disk.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::store {

struct PackageEntry {
  enum class Kind : std::uint8_t { kDirectory, kFile, kSymlink };
  Kind kind = Kind::kDirectory;
  bool executable = false;  // of a file
  std::uint64_t size = 0;   // of a file
  std::string sha256;       // of a file
  std::string target;       // of a symlink
};

class PackageTree {
 public:
  explicit PackageTree(std::size_t entries_max) : entries_max_(entries_max) {}

  /// An archive's path in plain form: no leading "./", no empty or "." parts, no trailing slash; "" is the root.
  /// Errors: kInvalidArgument for an absolute path, "..", control characters or invalid bytes, too long or too deep.
  static base::Result<std::string> plain_path(std::string_view path);

  /// Adds an entry and the directories above it. A directory may be named again, nothing else may.
  /// Errors: kInvalidArgument (the path is taken, or passes through a file or symlink), kTooLarge (too many).
  base::Result<void> add(const std::string& path, PackageEntry entry);

  PackageEntry* find(std::string_view path);
  const std::map<std::string, PackageEntry, std::less<>>& entries() const { return entries_; }

  /// Errors: kInvalidArgument naming the first symlink that would resolve outside, or around in a circle.
  base::Result<void> check_symlinks() const;

  /// The content key: equal for equal trees.
  std::string key() const;

 private:
  base::Result<void> make_parents(const std::string& path);
  base::Result<void> insert(const std::string& path, PackageEntry entry);
  base::Result<void> check_symlink(const std::string& path, const std::string& target, int& steps) const;

  std::size_t entries_max_;
  std::map<std::string, PackageEntry, std::less<>> entries_;  // by plain path, sorted: parents before children
};

}  // namespace ebb::store
