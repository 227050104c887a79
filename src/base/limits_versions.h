// The bounds of versions and aliases, beside those of limits.h.
#pragma once

#include <cstddef>

namespace ebb::limits {

// Versions and aliases.
inline constexpr std::size_t kOldVersionsKept =
    100;  // of a function, beside its current one and those of aliases; the next deployment removes older ones
inline constexpr std::size_t kAliasesPerFunction = 32;  // each keeps the zygotes of one or two versions

}  // namespace ebb::limits
