// How fast and how much at once an app may be called, and how much room it may take: set by an administrator, kept by
// the app's name as a budget is. Or all apps of an organisation together: then `app` is "".
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "model/organisation.h"

namespace ebb::model {

struct Quota {
  std::string app;
  std::uint64_t milli_calls_per_second = 0;  // 0: no bound
  std::uint64_t calls_at_once = 0;           // under way or waiting for an instance, of all its functions; 0: no bound
  std::string organisation{};
  base::Bytes memory{};   // `memory` of all its instances at a time, together; 0: no bound
  base::Bytes storage{};  // packages and layers of all its versions; 0: no bound
  Holder holder() const { return {.app = app, .organisation = organisation}; }
  /// Whether it bounds anything.
  bool empty() const {
    return milli_calls_per_second == 0 && calls_at_once == 0 && memory.count == 0 && storage.count == 0;
  }
  bool operator==(const Quota&) const = default;
};

}  // namespace ebb::model
