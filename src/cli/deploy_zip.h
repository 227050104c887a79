// `ebb deploy --zip FILE [APP/FUNCTION]`: an app in a zip, or the zip of a function alone as AWS Lambda and Alibaba FC
// take it, which gets an ebb.yaml with one function.
//
// The zip is unpacked into a folder that goes again, and packed as a folder would be; nothing in it may lie outside,
// by name or by link, and what it holds is bounded while it is unpacked. Called by `ebb deploy`.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/commands.h"
#include "cli/scratch.h"

namespace ebb::cli {

struct ZipOptions {
  std::string file;
  std::string name;                 // APP/FUNCTION; "" when the zip has an ebb.yaml
  std::string runtime = "python3";  // of a function alone
  std::string handler;
  std::string memory;  // "": as without the key
};

/// The folder to deploy, with an ebb.yaml in it. Errors: kNotFound; kInvalidArgument for what is no zip, an entry that
/// cannot be taken, or options that do not fit; kTooLarge; kConflict as of check_alone. Blocking.
base::Result<Scratch> unpack_zip(const Session& session, const ZipOptions& options);

}  // namespace ebb::cli
