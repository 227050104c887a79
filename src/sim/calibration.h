// What starts cost, as distributions measured on a real node: the numbers the simulator works with.
//
// A calibration is a JSON file made by `ebb sim calibrate` from usage records, that is from what a node measured in
// production or under test; the defaults are such a file's content, with the machine they come from. Times are
// milliseconds, memory is MB. What a trace does not tell (how long a function's own init takes) is drawn from here too.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "sim/curve.h"

namespace ebb::sim {

struct Calibration {
  std::string measured_on;
  Curve idle_ms;             // an idle instance: from arrival to the handler
  Curve fork_ms;             // a fork of the function zygote, ready to serve
  Curve runtime_ms;          // a fork of the runtime zygote, up to user code
  Curve boot_ms;             // the runtime booted, up to user code
  Curve init_ms;             // the user's init, one draw for each function
  Curve program_ms;          // a program that each instance starts for itself, before the user's init
  double runtime_mb = 13.5;  // a runtime zygote
  double instance_mb = 1.8;  // what an idle instance adds to its zygote, at least
};

Calibration default_calibration();

/// Errors: kInvalidArgument naming the key.
base::Result<Calibration> parse_calibration(std::string_view json);
std::string to_json_text(const Calibration& calibration);

/// From the document that `ebb usage --json` prints. Rungs with fewer than `samples_least` records keep what `base`
/// says. Errors: kInvalidArgument when the text is not such a document, or holds no finished call.
base::Result<Calibration> calibrate(std::string_view usage_json, const Calibration& base, std::string measured_on,
                                    std::size_t samples_least = 1);

}  // namespace ebb::sim
