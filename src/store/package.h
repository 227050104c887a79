// The package store: the unpacked code of functions, each package in a directory named by the hash of its content.
//
// Invariants:
//  1. <dir>/<key> is complete and durable: it appears by one rename after everything in it was flushed.
//  2. The key depends on the tree alone (paths, kinds, execute bits, contents), not on the archive's bytes or times.
//  3. A package holds only directories (0755), files (0644 or 0755) and symlinks that resolve inside it.
//  4. A failed import leaves nothing behind; what a killed one leaves is removed at the next open.
// Archives are hostile input. Called by the control plane during a deployment, from a thread that may block.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/result.h"

namespace ebb::store {

/// What an archive may unpack to; smaller in tests.
struct PackageLimits {
  std::size_t entries = limits::kPackageEntries;
  std::uint64_t bytes = limits::kPackageUnpackedBytes;
};

/// Threads: any, also several imports at once; collect() only while no deployment is between import and publication.
class PackageStore {
 public:
  /// Makes the directory if needed and removes what interrupted imports left in it.
  static base::Result<PackageStore> open(std::filesystem::path directory, PackageLimits package_limits = {});

  /// Unpacks a tar, tar.gz or zip and answers the key. A package that is already there is left untouched.
  /// Errors: kInvalidArgument (not an archive, or an entry that is not allowed, named), kTooLarge, kUnavailable (disk
  /// full).
  base::Result<std::string> import_bytes(std::string_view archive) const;
  base::Result<std::string> import_file(const std::filesystem::path& archive) const;

  bool contains(std::string_view key) const;
  /// Where a package is or would be. `key` must be a content key.
  std::filesystem::path path_of(std::string_view key) const;

  /// Deletes every package whose key is not in `keep`; answers how many.
  base::Result<std::size_t> collect(const std::set<std::string>& keep) const;

 private:
  PackageStore(std::filesystem::path directory, PackageLimits package_limits)
      : directory_(std::move(directory)), limits_(package_limits) {}

  std::filesystem::path directory_;
  PackageLimits limits_;
};

/// What requirements may name beside what an index or an address has.
struct LayerSource {
  std::string_view package_key;
  std::filesystem::path package;  // its directory, which a build sees as /ebb/source
};

/// The key of the layer that these requirements make: comments, blank lines, trailing space and line ends do not count.
/// `python` is the interpreter's full version, `platform` such as "linux-x86_64". A wheel of the package counts by its
/// content; where a line names another file of it, or is an option, the layer is that package's alone: the same words
/// would mean other files in another's. Blocking: reads the wheels.
std::string layer_key(std::string_view requirements, const LayerSource& source, std::string_view python,
                      std::string_view platform);

/// What decides what npm installs from a lock.
struct NpmLayer {
  std::string_view package_json;
  std::string_view lock;       // package-lock.json
  std::string_view toolchain;  // versions of Node and npm: some packages are for some of them only
  std::string_view platform;
  std::string_view below;       // the key of the layer that it comes upon, or empty
  std::string_view npmrc;       // as it lies in the package: without what its variables stand for; or empty
  std::string_view private_to;  // the app that had to show credentials: no other is given what it got; or empty
};

/// The key of the layer that npm makes of it.
std::string npm_layer_key(const NpmLayer& of);

}  // namespace ebb::store
