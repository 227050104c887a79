// The manifest, ebb.yaml: what a developer hands over beside the code. Reading it is strict: an unknown key, a wrong
// type, a value out of range or a key written twice is an error that names the line, the path of the key and the
// remedy. Called by the control plane for a deployment and by the command line before an upload.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/function_spec.h"

namespace ebb::model {

struct Manifest {
  std::string app;
  std::string build;                    // a shell command run once at deploy in the build sandbox; "" for none
  AppScale scale{};                     // of all functions together
  std::vector<FunctionSpec> functions;  // in the order written, 1 to limits::kFunctionsPerApp, names distinct

  bool operator==(const Manifest&) const = default;
};

/// Errors: kInvalidArgument ("line 7: functions.digits.memry: unknown key, did you mean memory?"), kTooLarge.
/// Threads: any. Cost: linear in the text.
base::Result<Manifest> parse_manifest(std::string_view yaml);

}  // namespace ebb::model
