#include "model/version.h"

#include <boost/json.hpp>

namespace ebb::model {

std::set<std::string> content_keys(const Version& version) {
  std::set<std::string> keys(version.spec.image.layers.begin(), version.spec.image.layers.end());
  keys.insert(version.package_key);
  if (!version.layer_key.empty()) keys.insert(version.layer_key);
  return keys;
}

boost::json::object to_json(const Version& version) {
  return boost::json::object{
      {"app", version.app},
      {"function", version.function},
      {"version", version.number},
      {"spec", to_json(version.spec)},
      {"package", version.package_key},
      {"layer", version.layer_key},
      {"created", base::to_rfc3339(version.created)},
  };
}

}  // namespace ebb::model
