// How much an app may use in a month: set by an administrator, kept beside the apps, whether there is one of the name
// or not.
// Or all apps of an organisation together: then `app` is "".
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "model/organisation.h"

namespace ebb::model {

struct Budget {
  static constexpr std::uint64_t kAny = std::numeric_limits<std::int64_t>::max();

  std::string app;
  std::uint64_t nano_cu = kAny;  // a month
  std::string organisation{};
  std::uint64_t nano_money = kAny;  // a month, in the currency of the price file
  Holder holder() const { return {.app = app, .organisation = organisation}; }
  bool operator==(const Budget&) const = default;
};

}  // namespace ebb::model
