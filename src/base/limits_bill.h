// Every bound of bills: a leaf of limits.h, apart so that a change here compiles few files anew. The same rules hold
// and docs/reference/limits.md has them too.
#pragma once

#include <cstddef>

namespace ebb::limits {

// Bills.
inline constexpr std::size_t kPriceLists = 100;  // in one price file
inline constexpr std::size_t kPriceTiers = 20;   // in one price list
inline constexpr std::size_t kBillEntries =
    1'000'000;  // app, function, version, trigger and day that one bill tells apart

}  // namespace ebb::limits
