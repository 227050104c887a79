// `ebb deploy --image REF APP/FUNCTION`: the app that a container image alone makes, packed as its folder would be.
//
// 1. What is written of the image is an ebb.yaml with one function, checked as any other before it is sent. 2. An image
// of this machine travels in the package, a registry's is pulled by the node. 3. A deployment replaces all of an app,
// so one that has other functions is left alone. Called by `ebb deploy`.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/commands.h"
#include "cli/pack.h"

namespace ebb::cli {

struct ImageOptions {
  std::string reference;  // REGISTRY/NAME:TAG, or oci:, oci-archive:, docker-archive: with a path of this machine
  std::string name;       // APP/FUNCTION; APP alone names the function as the app
  std::string runtime = "http";  // or lambda
  std::string memory;            // "": as without the key
};

struct ImagePackage {
  std::string app;
  Package package;
};

/// Errors: kInvalidArgument; kNotFound when the path is not there; kConflict when the app has other functions; those of
/// asking the daemon and of pack_folder. Blocking. Cost: a copy of the local image on the disk, in TMPDIR, that goes
/// again.
base::Result<ImagePackage> pack_image(const Session& session, const ImageOptions& options);

}  // namespace ebb::cli
