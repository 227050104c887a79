// A container image as the root of a function's sandbox: what ebb.yaml says (a reference), and what a deployment found
// behind it (digest, layers, settings). The second is part of the version, so a version runs the same image whatever
// becomes of the tag.
//
// Invariant: found() means that layers, digest and command are all there; node/images.cc fills them in.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ebb::model {

struct Image {
  std::string reference;                   // as written; "" where the function has no image
  std::string digest;                      // of the manifest: "sha256:" and 64 hexadecimal digits
  std::vector<std::string> layers;         // keys in the layer store, lowest first; each once
  std::vector<std::string> command;        // ENTRYPOINT and CMD
  std::map<std::string, std::string> env;  // ENV
  std::string directory;                   // WORKDIR; "" is /

  bool written() const { return !reference.empty(); }
  bool found() const { return !layers.empty(); }
  bool operator==(const Image&) const = default;
};

enum class ImageTransport : std::uint8_t { kRegistry, kOci, kOciArchive, kDockerArchive };

/// The parts of a reference.
struct ImageReference {
  ImageTransport transport = ImageTransport::kRegistry;
  std::string name;  // of a registry: "registry/name:tag" or "...@sha256:..."
  std::string path;  // else: of a folder or file in the package
  std::string tag;   // else: "" where there is but one image
};

/// Accepts "docker://NAME", NAME alone, "oci:PATH[:TAG]", "oci-archive:PATH[:TAG]", "docker-archive:PATH[:TAG]"; a PATH
/// lies in the package. Errors: kInvalidArgument with the forms there are.
base::Result<ImageReference> parse_image_reference(std::string_view text);

/// As skopeo takes it, local paths below `folder`.
std::string skopeo_name(const ImageReference& reference, std::string_view folder);

/// A registry's name without tag and digest.
std::string without_tag(std::string_view name);

/// The host (and port) of a registry's name, as docker understands it.
std::string registry_of(const ImageReference& reference);

/// "is ..., ..." when something is out of bounds.
std::optional<std::string> image_violation(const Image& image);

boost::json::object to_json(const Image& image);
/// Errors: kInvalidArgument naming the key.
base::Result<Image> image_from_json(const boost::json::object& object);

}  // namespace ebb::model
