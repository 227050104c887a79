#include "store/package_tree.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "base/id.h"
#include "base/limits.h"
#include "store/sha256.h"

namespace ebb::store {
namespace {

using Kind = PackageEntry::Kind;

constexpr int kSymlinksFollowed = 40;     // what Linux itself follows
constexpr int kSymlinkSteps = 2'000'000;  // of all symlinks of a package together: about a second

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// For messages: control characters as escapes, not too long.
std::string shown(std::string_view path) {
  std::string text;
  for (const char c : path.substr(0, 200)) {
    if (is_control(c)) {
      text += "\\x" + base::to_hex(std::string_view(&c, 1));
    } else {
      text += c;
    }
  }
  return path.size() > 200 ? text + "..." : text;
}

base::Error refused(std::string_view path, std::string_view why) {
  return base::invalid_argument("package entry '" + shown(path) + "' " + std::string(why));
}

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.push_back(part);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return parts;
}

}  // namespace

base::Result<std::string> PackageTree::plain_path(std::string_view path) {
  if (path.empty()) return refused(path, "has no name");
  if (path.size() > limits::kPackagePathBytes) {
    return refused(path, "has a path of more than " + std::to_string(limits::kPackagePathBytes) + " bytes");
  }
  if (path.front() == '/') return refused(path, "has an absolute path, pack paths relative to the app");
  if (std::any_of(path.begin(), path.end(), is_control)) return refused(path, "has a control character in its path");
  const auto parts = parts_of(path);
  if (parts.size() > limits::kPackagePathDepth + 1) {
    return refused(path, "lies deeper than " + std::to_string(limits::kPackagePathDepth) + " directories");
  }
  std::string plain;
  for (const std::string_view part : parts) {
    if (part == "..") return refused(path, "leads out of the package with '..'");
    if (part.size() > 255) return refused(path, "has a name of more than 255 bytes");
    if (!plain.empty()) plain += '/';
    plain += part;
  }
  return plain;
}

base::Result<void> PackageTree::insert(const std::string& path, PackageEntry entry) {
  if (entries_.size() >= entries_max_) {
    return base::Error{base::Code::kTooLarge,
                       "the package has more than " + std::to_string(entries_max_) + " entries, leave some out"};
  }
  entries_.emplace(path, std::move(entry));
  return {};
}

base::Result<void> PackageTree::make_parents(const std::string& path) {
  for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    const auto at = entries_.find(parent);
    if (at == entries_.end()) {
      EBB_CHECKED(insert(parent, PackageEntry{}));
    } else if (at->second.kind == Kind::kSymlink) {
      return refused(path, "passes through the symlink '" + shown(parent) + "'");
    } else if (at->second.kind == Kind::kFile) {
      return refused(path, "passes through the file '" + shown(parent) + "'");
    }
  }
  return {};
}

base::Result<void> PackageTree::add(const std::string& path, PackageEntry entry) {
  const bool is_directory = entry.kind == Kind::kDirectory;
  if (path.empty()) {
    if (is_directory) return {};  // "./": the root itself
    return refused(path, "has no name");
  }
  EBB_CHECKED(make_parents(path));
  const auto at = entries_.find(path);
  if (at == entries_.end()) return insert(path, std::move(entry));
  if (is_directory && at->second.kind == Kind::kDirectory) return {};
  return refused(path, "is in the archive twice");
}

PackageEntry* PackageTree::find(std::string_view path) {
  const auto at = entries_.find(path);
  return at == entries_.end() ? nullptr : &at->second;
}

base::Result<void> PackageTree::check_symlinks() const {
  int steps = kSymlinkSteps;
  for (const auto& [path, entry] : entries_) {
    if (entry.kind == Kind::kSymlink) EBB_CHECKED(check_symlink(path, entry.target, steps));
  }
  return {};
}

// A walk as the kernel would do it: `at` is where we are, `ahead` the parts still to go.
base::Result<void> PackageTree::check_symlink(const std::string& path, const std::string& target, int& steps) const {
  const auto outside = [&] { return refused(path, "is a symlink that leads out of the package: " + shown(target)); };
  std::string at = path.substr(0, path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  const auto parts = parts_of(target);
  std::deque<std::string_view> ahead(parts.begin(), parts.end());
  int followed = 0;
  while (!ahead.empty()) {
    if (--steps < 0) return refused(path, "is one of too many entangled symlinks");
    const std::string_view part = ahead.front();
    ahead.pop_front();
    const std::string above = at.substr(0, at.rfind('/') == std::string::npos ? 0 : at.rfind('/'));
    if (part == "..") {
      if (at.empty()) return outside();
      at = above;
      continue;
    }
    std::string here = at.empty() ? std::string(part) : at + "/" + std::string(part);
    const auto found = entries_.find(here);
    if (found == entries_.end() || found->second.kind == Kind::kFile) {
      // It dangles, which harms nobody, unless what is missing might one day turn a ".." outwards.
      const bool upwards = std::find(ahead.begin(), ahead.end(), "..") != ahead.end();
      return upwards ? base::Result<void>(outside()) : base::Result<void>();
    }
    if (found->second.kind == Kind::kDirectory) {
      at = std::move(here);
      continue;
    }
    if (++followed > kSymlinksFollowed) return refused(path, "is a symlink that leads in a circle");
    const auto inner = parts_of(found->second.target);
    ahead.insert(ahead.begin(), inner.begin(), inner.end());
  }
  return {};
}

std::string PackageTree::key() const {
  // One line per entry; paths and targets hold no control characters, so lines cannot be forged.
  Sha256 hash;
  hash.add("ebb-package-1\n");
  for (const auto& [path, entry] : entries_) {
    switch (entry.kind) {
      case Kind::kDirectory: hash.add("d " + path + "\n"); break;
      case Kind::kFile:
        hash.add((entry.executable ? "x " : "f ") + std::to_string(entry.size) + " " + entry.sha256 + " " + path +
                 "\n");
        break;
      case Kind::kSymlink: hash.add("l " + path + "\nto " + entry.target + "\n"); break;
    }
  }
  return hash.finish();
}

}  // namespace ebb::store
