// A value of YAML as JSON: what a developer writes into ebb.yaml for his function to read, and not for Ebb.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

#include "base/result.h"
#include "model/yaml_tree.h"

namespace ebb::model {

/// A plain word is null, true, false or a decimal number where it looks like one (YAML 1.2, JSON's part of its core
/// schema), else a string, as what stands in quotes is. Errors: kInvalidArgument, with its line and `path`, the place
/// of the whole, for a number that 64 bits do not hold. Cost: linear. Threads: any.
base::Result<boost::json::value> json_of(const YamlNode& node, const std::string& path);

}  // namespace ebb::model
