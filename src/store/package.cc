#include "store/package.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "base/id.h"
#include "os/fd.h"
#include "store/sha256.h"
#include "store/unpack.h"

namespace ebb::store {
namespace {

namespace fs = std::filesystem;
using base::Result;

constexpr std::string_view kTempPrefix = ".import-";

base::Error failed(std::string_view what, const fs::path& path, const std::error_code& ec) {
  return base::os_error(std::string(what) + " " + path.string(), ec.value());
}

// A fresh directory that goes when this does, unless it was renamed away.
class TempDirectory {
 public:
  static Result<TempDirectory> make(const fs::path& in) {
    std::string name = (in / (std::string(kTempPrefix) + "XXXXXX")).string();
    if (mkdtemp(name.data()) == nullptr) return base::os_error("create a directory in " + in.string(), errno);
    return TempDirectory(name);
  }
  TempDirectory(TempDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDirectory& operator=(TempDirectory&&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  const fs::path& path() const { return path_; }
  void release() { path_.clear(); }

 private:
  explicit TempDirectory(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

// One syncfs instead of an fsync per file: a package may have 50,000 of them.
Result<void> flush_file_system(const fs::path& directory) {
  const os::Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::os_error("open " + directory.string(), errno);
  if (syncfs(fd.get()) != 0) return base::os_error("flush " + directory.string(), errno);
  return {};
}

Result<void> flush_directory(const fs::path& directory) {
  const os::Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::os_error("open " + directory.string(), errno);
  if (fsync(fd.get()) != 0) return base::os_error("flush " + directory.string(), errno);
  return {};
}

Result<std::string> import_archive(const ArchiveSource& source, const PackageStore& store, const fs::path& directory,
                                   const PackageLimits& package_limits) {
  EBB_TRY(TempDirectory temp, TempDirectory::make(directory));
  EBB_TRY(const PackageTree tree, unpack_archive(source, temp.path(), package_limits));
  const std::string key = tree.key();
  if (store.contains(key)) return key;
  if (chmod(temp.path().c_str(), 0755) != 0) return base::os_error("unpack " + temp.path().string(), errno);
  EBB_CHECKED(flush_file_system(temp.path()));
  if (::rename(temp.path().c_str(), store.path_of(key).c_str()) != 0) {
    // Another import of the same content was quicker.
    if (errno == EEXIST || errno == ENOTEMPTY) return key;
    return base::os_error("rename " + temp.path().string(), errno);
  }
  temp.release();
  EBB_CHECKED(flush_directory(directory));
  return key;
}

// Names in a directory that satisfy a test. Collected first: deleting while listing is undefined.
template <typename Test>
Result<std::vector<fs::path>> entries_where(const fs::path& directory, Test test) {
  std::vector<fs::path> found;
  std::error_code ec;
  fs::directory_iterator it(directory, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
    if (test(it->path().filename().string())) found.push_back(it->path());
  }
  if (ec) return failed("list", directory, ec);
  return found;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// pip's rule: a # begins a comment at the start of a line or after white space.
std::string_view without_comment(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')) return line.substr(0, i);
  }
  return line;
}

}  // namespace

Result<PackageStore> PackageStore::open(fs::path directory, PackageLimits package_limits) {
  std::error_code ec;
  fs::create_directories(directory, ec);
  if (ec) return failed("create", directory, ec);
  EBB_TRY(const auto stale, entries_where(directory, [](const std::string& n) { return n.starts_with(kTempPrefix); }));
  for (const fs::path& path : stale) {
    fs::remove_all(path, ec);
    if (ec) return failed("remove", path, ec);
  }
  return PackageStore(std::move(directory), package_limits);
}

Result<std::string> PackageStore::import_bytes(std::string_view archive) const {
  return import_archive({.bytes = archive}, *this, directory_, limits_);
}

Result<std::string> PackageStore::import_file(const fs::path& archive) const {
  return import_archive({.file = archive}, *this, directory_, limits_);
}

bool PackageStore::contains(std::string_view key) const {
  std::error_code ec;
  return base::is_content_key(key) && fs::is_directory(path_of(key), ec);
}

fs::path PackageStore::path_of(std::string_view key) const {
  EBB_CHECK(base::is_content_key(key));
  return directory_ / key;
}

Result<std::size_t> PackageStore::collect(const std::set<std::string>& keep) const {
  EBB_TRY(const auto garbage, entries_where(directory_, [&](const std::string& name) {
            return base::is_content_key(name) && !keep.contains(name);
          }));
  for (const fs::path& path : garbage) {
    // Renamed first: a package that exists under its key is complete even while it is being deleted.
    const fs::path doomed = directory_ / (std::string(kTempPrefix) + path.filename().string());
    std::error_code ec;
    fs::rename(path, doomed, ec);
    if (!ec) fs::remove_all(doomed, ec);
    if (ec) return failed("remove", path, ec);
  }
  return garbage.size();
}

// May take a word too many for a file, never one too few: pip reads as a file what has a slash, or an archive's ending.
static bool may_name_a_file(std::string_view line) {
  const auto has = [line](std::string_view word) { return line.find(word) != std::string_view::npos; };
  if (line.starts_with('-')) return !line.starts_with("--hash");
  if (has("file:")) return true;
  if (has("://")) return false;
  for (const std::string_view word : {"/", ".whl", ".zip", ".tar", ".tgz", ".tbz", ".txz", ".tlz", "$"}) {
    if (has(word)) return true;
  }
  return line.starts_with('.');
}

// The hash of a wheel that the line names whole and alone, or nothing.
static std::optional<std::string> wheel_content(std::string_view line, const fs::path& package) {
  constexpr std::string_view kSource = "/ebb/source/";
  const bool plain = line.find_first_of(" ;[\\") == std::string_view::npos && line.find("..") == std::string_view::npos;
  if (!line.starts_with(kSource) || !line.ends_with(".whl") || !plain) return std::nullopt;
  const fs::path file = package / line.substr(kSource.size());
  std::error_code ec;
  if (!fs::is_regular_file(fs::symlink_status(file, ec))) return std::nullopt;
  std::ifstream stream(file, std::ios::binary);
  std::string block(1024 * 1024, '\0');
  Sha256 sum;
  while (stream.read(block.data(), static_cast<std::streamsize>(block.size())) || stream.gcount() > 0) {
    sum.add({block.data(), static_cast<std::size_t>(stream.gcount())});
  }
  if (!stream.eof()) return std::nullopt;
  return sum.finish();
}

std::string layer_key(std::string_view requirements, const LayerSource& source, std::string_view python,
                      std::string_view platform) {
  std::string text = "ebb-layer-2\n" + std::string(python) + "\n" + std::string(platform) + "\n";
  bool shared = true;
  while (!requirements.empty()) {
    const auto end = requirements.find('\n');
    const std::string_view line = trimmed(without_comment(requirements.substr(0, end)));
    if (!line.empty()) text += std::string(line) + "\n";
    if (may_name_a_file(line)) {
      const std::optional<std::string> content = wheel_content(line, source.package);
      if (content) text += "with the content " + *content + "\n";
      shared = shared && content;
    }
    if (end == std::string_view::npos) break;
    requirements.remove_prefix(end + 1);
  }
  if (!shared) text += "of the package " + std::string(source.package_key) + "\n";
  return sha256_hex(text);
}

std::string npm_layer_key(const NpmLayer& of) {
  std::string text = "ebb-npm-layer-1\n";
  // Hashes, not the texts: no text of the user's can stand for two of these.
  for (const std::string_view part : {of.package_json, of.lock, of.toolchain, of.platform, of.below}) {
    text += sha256_hex(part) + "\n";
  }
  if (!of.npmrc.empty()) text += sha256_hex(of.npmrc) + "\n" + sha256_hex(of.private_to) + "\n";
  return sha256_hex(text);
}

}  // namespace ebb::store
