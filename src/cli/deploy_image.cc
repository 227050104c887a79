#include "cli/deploy_image.h"

#include <boost/json/object.hpp>
#include <filesystem>
#include <utility>

#include "cli/one_function.h"
#include "cli/scratch.h"

namespace ebb::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLocal[] = {"oci:", "oci-archive:", "docker-archive:"};
constexpr const char* kInPackage = "image";

/// PATH or PATH:TAG; a path that is there with its colon is one. Gives where the tag begins, or the whole length.
std::size_t end_of_path(const std::string& text) {
  std::error_code ignored;
  const std::size_t colon = text.rfind(':');
  return colon == std::string::npos || fs::exists(text, ignored) ? text.size() : colon;
}

/// The reference as ebb.yaml has it: what it names on this machine is copied into `folder`.
base::Result<std::string> bring_along(const std::string& reference, const fs::path& folder) {
  for (const std::string_view transport : kLocal) {
    if (!reference.starts_with(transport)) continue;
    const std::string rest = reference.substr(transport.size());
    const std::size_t end = end_of_path(rest);
    const fs::path source = rest.substr(0, end);
    std::error_code failed;
    const bool wants_folder = transport == "oci:";
    if (source.empty() || !fs::exists(source, failed)) return base::not_found("there is no image " + source.string());
    if (fs::is_directory(source, failed) != wants_folder) {
      return base::invalid_argument(
          source.string() +
          (wants_folder ? " is a file: write oci-archive: or docker-archive:" : " is a folder: write oci:") +
          " before it");
    }
    fs::copy(source, folder / kInPackage, fs::copy_options::recursive, failed);
    if (failed) return base::invalid_argument("cannot copy " + source.string() + ": " + failed.message());
    return std::string(transport) + kInPackage + rest.substr(end);
  }
  return reference;
}

}  // namespace

base::Result<ImagePackage> pack_image(const Session& session, const ImageOptions& options) {
  EBB_TRY(const Subject subject, parse_new_function(options.name));
  EBB_TRY(const Scratch scratch, Scratch::make());
  EBB_TRY(const std::string reference, bring_along(options.reference, scratch.path()));
  boost::json::object function{{"runtime", options.runtime}, {"image", reference}};
  if (!options.memory.empty()) function["memory"] = options.memory;
  EBB_TRY(const std::string text, manifest_of_one(subject, std::move(function)));
  EBB_CHECKED(check_alone(session, subject));
  EBB_CHECKED(scratch.write("ebb.yaml", text));
  EBB_TRY(Package package, pack_folder(scratch.path().string()));
  return ImagePackage{.app = subject.app, .package = std::move(package)};
}

}  // namespace ebb::cli
