// How fast and how much at once an app may be called: set by an administrator, kept by the app's name as a budget is.
#pragma once

#include <cstdint>
#include <string>

namespace ebb::model {

struct Quota {
  std::string app;
  std::uint64_t milli_calls_per_second = 0;  // 0: no bound
  std::uint64_t calls_at_once = 0;           // under way or waiting for an instance, of all its functions; 0: no bound
  bool operator==(const Quota&) const = default;
};

}  // namespace ebb::model
