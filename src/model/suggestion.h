// "Did you mean memory?": the nearest of the known words to a mistyped one, by edit distance. Used wherever an unknown
// word is refused: the manifest, the daemon's configuration, the command line.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ebb::model {

/// Levenshtein distance in bytes, a swap of neighbours counting one. Cost: O(n*m); cut both to 64 bytes first.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The known word nearest to `word` if it is near enough to be a slip (a third of its length, at least one edit).
std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> known);

/// The tail of an error about an unknown word: "did you mean memory?", or "known are a, b and c" when none is near.
std::string suggestion_for(std::string_view word, std::span<const std::string_view> known);

}  // namespace ebb::model
