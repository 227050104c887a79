#include "cli/deploy_zip.h"

#include <archive.h>
#include <archive_entry.h>

#include <boost/json/object.hpp>
#include <filesystem>
#include <memory>
#include <set>

#include "base/bytes.h"
#include "base/limits.h"
#include "cli/one_function.h"

namespace ebb::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr int kDiskRules =
    ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_NO_OVERWRITE;

struct Close {
  void operator()(archive* one) const { archive_free(one); }
};
using Archive = std::unique_ptr<archive, Close>;

base::Error cannot(const std::string& file, archive* one) {
  const char* why = archive_error_string(one);
  return base::invalid_argument(file + " cannot be unpacked: " + (why == nullptr ? "it is damaged" : why));
}

base::Error too_large(const std::string& file, const std::string& what, const std::string& limit) {
  return base::Error{.code = base::Code::kTooLarge,
                     .message = file + " has more than " + limit + " " + what + ", which is the limit"};
}

/// Unpacks into a folder, entry by entry.
class Unzip {
 public:
  Unzip(std::string file, const fs::path& folder)
      : file_(std::move(file)), folder_(folder), in_(archive_read_new()), out_(archive_write_disk_new()) {}

  base::Result<> run() {
    archive_read_support_format_zip(in_.get());
    archive_write_disk_set_options(out_.get(), kDiskRules);
    if (archive_read_open_filename(in_.get(), file_.c_str(), kReadBytes) != ARCHIVE_OK) return cannot(file_, in_.get());
    for (;;) {
      archive_entry* entry = nullptr;
      const int next = archive_read_next_header(in_.get(), &entry);
      if (next == ARCHIVE_EOF) break;
      if (next != ARCHIVE_OK && next != ARCHIVE_WARN) return cannot(file_, in_.get());
      EBB_CHECKED(take(entry));
    }
    if (seen_.empty()) return base::invalid_argument(file_ + " is empty");
    return {};
  }

 private:
  base::Result<> take(archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || *name == '\0') return base::invalid_argument(file_ + " has an entry without a name");
    const std::string path = fs::path(name).lexically_normal().string();
    if (path.starts_with("/") || path == ".." || path.starts_with("../")) {
      return base::invalid_argument(file_ + " has the entry '" + name + "', which lies outside of it");
    }
    if (archive_entry_is_encrypted(entry) != 0) {
      return base::invalid_argument(file_ + " is encrypted: make a zip without a password");
    }
    const auto type = archive_entry_filetype(entry);
    if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
      return base::invalid_argument(file_ + " has the entry '" + name + "', which is neither file, folder nor link");
    }
    if (type == AE_IFREG && !seen_.insert(path).second) {
      return base::invalid_argument(file_ + " has the entry '" + name + "' twice");
    }
    if (++entries_ > limits::kPackageEntries)
      return too_large(file_, "entries", std::to_string(limits::kPackageEntries));
    archive_entry_set_pathname(entry, (folder_ / path).c_str());
    archive_entry_set_perm(entry, type == AE_IFDIR ? 0755 : (archive_entry_perm(entry) & 0111) != 0 ? 0755 : 0644);
    if (archive_write_header(out_.get(), entry) != ARCHIVE_OK) return cannot(file_, out_.get());
    EBB_CHECKED(copy_data());
    if (archive_write_finish_entry(out_.get()) != ARCHIVE_OK) return cannot(file_, out_.get());
    return {};
  }

  base::Result<> copy_data() {
    for (;;) {
      const void* bytes = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int got = archive_read_data_block(in_.get(), &bytes, &size, &offset);
      if (got == ARCHIVE_EOF) return {};
      if (got != ARCHIVE_OK) return cannot(file_, in_.get());
      unpacked_bytes_ += size;
      if (unpacked_bytes_ > limits::kPackageUnpackedBytes) {
        return too_large(file_, "unpacked", base::to_string(base::Bytes{limits::kPackageUnpackedBytes}));
      }
      if (archive_write_data_block(out_.get(), bytes, size, offset) != ARCHIVE_OK) return cannot(file_, out_.get());
    }
  }

  const std::string file_;
  const fs::path folder_;
  Archive in_;
  Archive out_;
  std::set<std::string> seen_;
  std::size_t entries_ = 0;
  std::uint64_t unpacked_bytes_ = 0;
};

// Of a repository or a folder that was zipped as a whole.
std::string only_folder_of(const fs::path& folder) {
  std::string name;
  std::error_code failed;
  for (const fs::directory_entry& one : fs::directory_iterator(folder, failed)) {
    if (!name.empty() || !one.is_directory(failed)) return {};
    name = one.path().filename().string();
  }
  return name;
}

base::Error lacks_manifest(const ZipOptions& options, const fs::path& folder) {
  const std::string inner = only_folder_of(folder);
  if (!inner.empty() && fs::exists(folder / inner / "ebb.yaml")) {
    return base::invalid_argument(options.file + " holds the folder " + inner +
                                  " and not what is in it: zip the contents, so that ebb.yaml is at its root");
  }
  return base::invalid_argument(options.file +
                                " has no ebb.yaml: name what it becomes and what is called, ebb deploy --zip " +
                                options.file + " APP/FUNCTION --handler FILE.FUNCTION");
}

}  // namespace

base::Result<Scratch> unpack_zip(const Session& session, const ZipOptions& options) {
  std::error_code failed;
  if (!fs::is_regular_file(options.file, failed)) return base::not_found("there is no file " + options.file);
  EBB_TRY(Scratch scratch, Scratch::make());
  EBB_CHECKED(Unzip(options.file, scratch.path()).run());
  const bool has_manifest = fs::exists(scratch.path() / "ebb.yaml", failed);
  const bool describes = !options.name.empty() || !options.handler.empty() || !options.memory.empty();
  if (has_manifest && describes) {
    return base::invalid_argument(options.file +
                                  " has an ebb.yaml, which says all of that: leave out name, --handler and --memory");
  }
  if (has_manifest) return scratch;
  if (options.name.empty()) return lacks_manifest(options, scratch.path());
  EBB_TRY(const Subject subject, parse_new_function(options.name));
  boost::json::object function{{"runtime", options.runtime}};
  if (!options.handler.empty()) function["handler"] = options.handler;
  if (!options.memory.empty()) function["memory"] = options.memory;
  EBB_TRY(const std::string text, manifest_of_one(subject, std::move(function)));
  EBB_CHECKED(check_alone(session, subject));
  EBB_CHECKED(scratch.write("ebb.yaml", text));
  return scratch;
}

}  // namespace ebb::cli
