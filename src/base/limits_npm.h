// Every bound of packages of npm but the lock's: a leaf of limits.h, as limits_access.h.
#pragma once

#include <cstddef>

namespace ebb::limits {

// Packages of npm.
inline constexpr std::size_t kNpmrcVariables = 8;  // that .npmrc of a package names

}  // namespace ebb::limits
