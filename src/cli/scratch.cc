#include "cli/scratch.h"

#include <cstdlib>
#include <fstream>
#include <utility>

namespace ebb::cli {

namespace fs = std::filesystem;

base::Result<Scratch> Scratch::make() {
  std::error_code failed;
  std::string path = (fs::temp_directory_path(failed) / "ebb-deploy-XXXXXX").string();
  if (failed || ::mkdtemp(path.data()) == nullptr)
    return base::invalid_argument("cannot make a folder in the directory for temporary files, set TMPDIR");
  return Scratch(path);
}

Scratch::Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}

Scratch::~Scratch() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

base::Result<> Scratch::write(std::string_view name, std::string_view text) const {
  const fs::path whole = path_ / name;
  std::ofstream file(whole, std::ios::binary);
  file << text << '\n';
  file.close();
  if (!file) return base::invalid_argument("cannot write " + whole.string() + ": is its disk full?");
  return {};
}

}  // namespace ebb::cli
