#include "model/version.h"

#include <boost/json.hpp>

namespace ebb::model {

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
