// How much an app may use in a month: set by an administrator, kept beside the apps, whether there is one of the name
// or not.
// Or all apps of an organisation together: then `app` is "".
#pragma once

#include <cstdint>
#include <string>

#include "model/organisation.h"

namespace ebb::model {

struct Budget {
  std::string app;
  std::uint64_t nano_cu = 0;  // a month
  std::string organisation{};
  Holder holder() const { return {.app = app, .organisation = organisation}; }
  bool operator==(const Budget&) const = default;
};

}  // namespace ebb::model
