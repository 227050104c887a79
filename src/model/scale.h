// How many instances a version, or an app as a whole, may and should have: bounds, and hours for which some are kept
// ready.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.h"
#include "base/result.h"

namespace ebb::model {

/// From each time that `from` names, for so long, instances are kept running as `min` of Scale keeps them.
struct ScaleWindow {
  std::string from;          // a model::Cron
  base::Duration length{};   // key `for`; at most limits::kScaleWindowMax
  std::uint32_t min = 0;     // the largest of open windows and Scale::min counts
  std::string zone = "UTC";  // a model::TimeZone, whose clocks `from` is read by
  bool operator==(const ScaleWindow&) const = default;
};

/// Bounds on the number of instances of one version.
struct Scale {
  std::uint32_t min = 0;      // kept running without traffic
  std::uint32_t max = 20;     // never exceeded; at most limits::kInstancesPerFunction
  std::uint32_t reserve = 0;  // room for so many instances is given to no other function
  std::vector<ScaleWindow> windows = {};
  bool operator==(const Scale&) const = default;
};

/// Of all functions of an app together.
struct AppScale {
  std::uint32_t reserve = 0;        // room for so many instances, whichever function's, is given to no other app
  std::uint32_t max_instances = 0;  // of all its versions, at a time; 0: no bound
  bool operator==(const AppScale&) const = default;
};

/// What is wrong with it, with the key inside of `scale`; nothing when all is well.
struct ScaleViolation {
  std::string key;
  std::string message;
};
std::optional<ScaleViolation> first_violation(const Scale& scale);

boost::json::object to_json(const Scale& scale);
/// Absent keys take their defaults, unknown ones are ignored. Errors: kInvalidArgument naming the key.
base::Result<Scale> scale_from_json(const boost::json::object& object);

}  // namespace ebb::model
