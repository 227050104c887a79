// A version: one function's code and configuration, frozen. It never changes; a deployment that differs makes the next
// one. Its id is unique while the data directory lives, its number counts from 1 within the function.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/id.h"
#include "model/function_spec.h"

namespace ebb::model {

struct Version {
  base::VersionId id{};
  std::string app;
  std::string function;
  std::uint32_t number = 0;
  FunctionSpec spec;
  std::string package_key;  // content key of the code
  std::string layer_key;    // content key of the installed requirements; "" when there are none
  base::WallTime created{};

  bool operator==(const Version&) const = default;
};

/// Of its code, its requirements and the layers of its image: what it takes on disk.
std::set<std::string> content_keys(const Version& version);

/// As the REST interface shows it: {"app", "function", "version", "spec", "package", "layer", "created"}.
boost::json::object to_json(const Version& version);

}  // namespace ebb::model
