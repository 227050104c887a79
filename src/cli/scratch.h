// A folder for what a deployment is put together in; it goes with the object. Called by deploy_image.cc and
// deploy_zip.cc.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::cli {

class Scratch {
 public:
  /// In TMPDIR, readable by its owner only. Errors: kInvalidArgument when that cannot be written.
  static base::Result<Scratch> make();
  ~Scratch();
  Scratch(Scratch&& other) noexcept;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch& operator=(Scratch&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Errors: kInvalidArgument when it cannot be written.
  base::Result<> write(std::string_view name, std::string_view text) const;

 private:
  explicit Scratch(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace ebb::cli
