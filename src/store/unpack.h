// Unpacks one hostile archive into a fresh directory that nobody else writes. Every entry is checked in the PackageTree
// before it is written; symlinks are made last, so nothing is ever written through one.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "store/package.h"
#include "store/package_tree.h"

namespace ebb::store {

/// Where the archive comes from: `file` if not empty, else `bytes`.
struct ArchiveSource {
  std::string_view bytes;
  std::filesystem::path file;
};

/// Unpacks into `directory`, which exists and is empty, and answers what is in it. Stops at the first entry that is not
/// allowed and at the first byte above the limits. The caller removes the directory after an error.
/// Errors: kInvalidArgument, kTooLarge, kUnavailable (disk full).
base::Result<PackageTree> unpack_archive(const ArchiveSource& source, const std::filesystem::path& directory,
                                         const PackageLimits& package_limits);

}  // namespace ebb::store
