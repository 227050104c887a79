// How much an app may use in a month: set by an administrator, kept beside the apps, whether there is one of the name
// or not.
#pragma once

#include <cstdint>
#include <string>

namespace ebb::model {

struct Budget {
  std::string app;
  std::uint64_t nano_cu = 0;  // a month
  bool operator==(const Budget&) const = default;
};

}  // namespace ebb::model
