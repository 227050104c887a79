// Every bound of what is told of a program that does not start: a leaf of limits.h, as limits_access.h.
#pragma once

#include <cstddef>

namespace ebb::limits {

// Starts that fail.
inline constexpr std::size_t kLastWordsBytes = 4096;  // of its output, beside the error of the deployment

}  // namespace ebb::limits
