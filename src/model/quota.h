// How fast and how much at once an app may be called: set by an administrator, kept by the app's name as a budget is.
// Or all apps of an organisation together: then `app` is "".
#pragma once

#include <cstdint>
#include <string>

#include "model/organisation.h"

namespace ebb::model {

struct Quota {
  std::string app;
  std::uint64_t milli_calls_per_second = 0;  // 0: no bound
  std::uint64_t calls_at_once = 0;           // under way or waiting for an instance, of all its functions; 0: no bound
  std::string organisation{};
  Holder holder() const { return {.app = app, .organisation = organisation}; }
  bool operator==(const Quota&) const = default;
};

}  // namespace ebb::model
