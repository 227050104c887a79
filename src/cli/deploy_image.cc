#include "cli/deploy_image.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "model/manifest.h"

namespace ebb::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLocal[] = {"oci:", "oci-archive:", "docker-archive:"};
constexpr const char* kInPackage = "image";

/// A folder that goes with the object.
class Scratch {
 public:
  static base::Result<Scratch> make() {
    std::error_code failed;
    std::string path = (fs::temp_directory_path(failed) / "ebb-image-XXXXXX").string();
    if (failed || ::mkdtemp(path.data()) == nullptr)
      return base::invalid_argument("cannot make a folder in the directory for temporary files, set TMPDIR");
    return Scratch(path);
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch& operator=(Scratch&&) = delete;

  const fs::path& path() const { return path_; }

 private:
  explicit Scratch(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

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

base::Result<> check_alone(const Session& session, const Subject& subject) {
  const auto answer = session.rest().get("/api/v1/functions?app=" + encoded(subject.app));
  if (!answer && answer.error().code == base::Code::kNotFound) return {};
  if (!answer) return answer.error();
  for (const auto* function : objects_in(answer->object, "functions")) {
    if (text_of(*function, "function") == subject.function) continue;
    return base::Error{.code = base::Code::kConflict,
                       .message = "app " + subject.app + " has the function " + text_of(*function, "function") +
                                  " too, which a deployment of this image alone would remove: add the image to its "
                                  "ebb.yaml, or name another app"};
  }
  return {};
}

}  // namespace

base::Result<ImagePackage> pack_image(const Session& session, const ImageOptions& options) {
  EBB_TRY(Subject subject, parse_subject(options.name));
  if (!subject.version.empty()) return base::invalid_argument("a version is made by the deployment, name APP/FUNCTION");
  if (subject.function.empty()) subject.function = subject.app;
  EBB_TRY(const Scratch scratch, Scratch::make());
  EBB_TRY(const std::string reference, bring_along(options.reference, scratch.path()));
  boost::json::object function{{"runtime", options.runtime}, {"image", reference}};
  if (!options.memory.empty()) function["memory"] = options.memory;
  const boost::json::object functions{{subject.function, std::move(function)}};
  // JSON is YAML.
  const std::string text = boost::json::serialize(boost::json::object{{"app", subject.app}, {"functions", functions}});
  if (const auto manifest = model::parse_manifest(text); !manifest) {
    base::Error error = manifest.error();
    constexpr std::string_view kLine = "line 1: ";  // nobody has seen that file
    if (error.message.starts_with(kLine)) error.message.erase(0, kLine.size());
    return error;
  }
  EBB_CHECKED(check_alone(session, subject));
  std::ofstream file(scratch.path() / "ebb.yaml", std::ios::binary);
  file << text << '\n';
  file.close();
  if (!file) return base::invalid_argument("cannot write " + scratch.path().string() + "/ebb.yaml: is its disk full?");
  EBB_TRY(Package package, pack_folder(scratch.path().string()));
  return ImagePackage{.app = subject.app, .package = std::move(package)};
}

}  // namespace ebb::cli
