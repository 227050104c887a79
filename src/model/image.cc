#include "model/image.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "base/id.h"
#include "base/limits.h"
#include "model/json_fields.h"

namespace ebb::model {
namespace {

namespace json = boost::json;

struct Prefix {
  std::string_view text;
  ImageTransport transport;
};
constexpr std::array<Prefix, 4> kPrefixes = {{{"docker://", ImageTransport::kRegistry},
                                              {"oci:", ImageTransport::kOci},
                                              {"oci-archive:", ImageTransport::kOciArchive},
                                              {"docker-archive:", ImageTransport::kDockerArchive}}};

// They become arguments of a program: nothing in them may look like an option, or need quoting.
bool is_plain(std::string_view text, std::string_view besides) {
  return !text.empty() && text.front() != '-' && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           besides.find(c) != std::string_view::npos;
  });
}

bool is_inner_path(std::string_view path) {
  if (!is_plain(path, "._-/+") || path.front() == '/') return false;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    if (part == "..") return false;
    path.remove_prefix(std::min(path.size(), part.size() + 1));
  }
  return true;
}

base::Error malformed(std::string_view text) {
  return base::invalid_argument(
      "is '" + std::string(text.substr(0, limits::kImageReferenceBytes)) +
      "', write registry/name:tag, oci:FOLDER, oci-archive:FILE or docker-archive:FILE, where "
      "FOLDER and FILE lie in the app's folder");
}

std::size_t size_of(const std::vector<std::string>& texts) {
  std::size_t total = 0;
  for (const std::string& text : texts) total += text.size();
  return total;
}

json::array array_of(const std::vector<std::string>& texts) {
  json::array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

}  // namespace

base::Result<ImageReference> parse_image_reference(std::string_view text) {
  if (text.size() > limits::kImageReferenceBytes) return malformed(text);
  ImageReference reference;
  std::string_view rest = text;
  for (const Prefix& prefix : kPrefixes) {
    if (!text.starts_with(prefix.text)) continue;
    reference.transport = prefix.transport;
    rest.remove_prefix(prefix.text.size());
    break;
  }
  if (reference.transport == ImageTransport::kRegistry) {
    reference.name = std::string(rest);
    if (!is_plain(rest, "._-/:@[]") || rest.front() == '/' || rest.find("//") != std::string_view::npos) {
      return malformed(text);
    }
    return reference;
  }
  const auto colon = rest.find(':');
  reference.path = std::string(rest.substr(0, colon));
  if (colon != std::string_view::npos) reference.tag = std::string(rest.substr(colon + 1));
  const bool tagged = reference.tag.empty() ? colon == std::string_view::npos : is_plain(reference.tag, "._-/:");
  if (!is_inner_path(reference.path) || !tagged) return malformed(text);
  return reference;
}

std::string skopeo_name(const ImageReference& reference, std::string_view folder) {
  const std::string tag = reference.tag.empty() ? "" : ":" + reference.tag;
  const std::string path = std::string(folder) + "/" + reference.path + tag;
  switch (reference.transport) {
    case ImageTransport::kOci: return "oci:" + path;
    case ImageTransport::kOciArchive: return "oci-archive:" + path;
    case ImageTransport::kDockerArchive: return "docker-archive:" + path;
    case ImageTransport::kRegistry: break;
  }
  // As docker takes "name:tag@digest": the digest says it all, and skopeo knows no name with both.
  const auto at = reference.name.find('@');
  return "docker://" +
         (at == std::string::npos ? reference.name : without_tag(reference.name) + reference.name.substr(at));
}

std::string without_tag(std::string_view name) {
  name = name.substr(0, name.find('@'));
  const auto slash = name.rfind('/');
  const auto colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  return std::string(name.substr(0, colon));
}

std::string registry_of(const ImageReference& reference) {
  const auto slash = reference.name.find('/');
  const std::string first = reference.name.substr(0, slash);
  const bool is_host =
      slash != std::string::npos && (first.find_first_of(".:") != std::string::npos || first == "localhost");
  return is_host ? first : "docker.io";
}

std::optional<std::string> image_violation(const Image& image) {
  if (const auto reference = parse_image_reference(image.reference); !reference) return reference.error().message;
  const auto is_key = [](const std::string& key) { return base::is_content_key(key); };
  if (image.layers.size() > limits::kImageLayers || !std::all_of(image.layers.begin(), image.layers.end(), is_key)) {
    return "has more than " + std::to_string(limits::kImageLayers) + " layers, or a layer without a key";
  }
  std::size_t settings = size_of(image.command) + image.directory.size();
  for (const auto& [name, value] : image.env) settings += name.size() + value.size();
  if (settings <= 2 * limits::kImageSettingBytes) return std::nullopt;
  return "has more than " + std::to_string(2 * limits::kImageSettingBytes) + " bytes of ENV, ENTRYPOINT and CMD";
}

json::object to_json(const Image& image) {
  json::object object{{"reference", image.reference}};
  if (!image.found()) return object;
  json::object env;
  for (const auto& [name, value] : image.env) env.emplace(name, value);
  object.emplace("digest", image.digest);
  object.emplace("layers", array_of(image.layers));
  object.emplace("command", array_of(image.command));
  object.emplace("env", std::move(env));
  object.emplace("directory", image.directory);
  return object;
}

base::Result<Image> image_from_json(const json::object& object) {
  Image image;
  EBB_CHECKED(read_field(object, "reference", image.reference));
  EBB_CHECKED(read_field(object, "digest", image.digest));
  EBB_CHECKED(read_field(object, "layers", image.layers));
  EBB_CHECKED(read_field(object, "command", image.command));
  EBB_CHECKED(read_field(object, "directory", image.directory));
  if (const json::value* env = object.if_contains("env")) {
    if (!env->is_object()) return base::invalid_argument("image.env must be an object");
    for (const auto& entry : env->get_object()) {
      if (!entry.value().is_string()) return base::invalid_argument("image.env must hold strings");
      image.env.emplace(std::string(entry.key()), std::string(entry.value().get_string()));
    }
  }
  return image;
}

}  // namespace ebb::model
