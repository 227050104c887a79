// Packing a folder for a deployment: a tar.gz whose bytes depend only on the names, the executable bits and the
// contents of the files, so that the same folder gives the same archive on every machine (entries sorted, times zero,
// owner root). What the server would refuse is refused here first, before an upload: special files, links that leave
// the folder, sizes and counts beyond limits.h. Called by `ebb deploy`.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace ebb::cli {

struct Package {
  std::string archive;    // tar.gz
  std::size_t files = 0;  // files and links, folders not counted
  std::uint64_t unpacked_bytes = 0;
};

/// Packs the folder less what IgnoreRules leaves out. `with_node_modules`: those are packed, unless .ebbignore names
/// them. Errors: kNotFound; kInvalidArgument naming the path that cannot be packed; kTooLarge naming the limit.
/// Blocking. Cost: memory of the archive, at most limits::kPackageUploadBytes.
base::Result<Package> pack_folder(const std::string& folder, bool with_node_modules = false);

}  // namespace ebb::cli
