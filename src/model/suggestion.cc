#include "model/suggestion.h"

#include <algorithm>
#include <array>
#include <limits>

namespace ebb::model {
namespace {

constexpr std::size_t kWordBytes = 64;

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, kWordBytes);
  b = b.substr(0, kWordBytes);
  // Three rows of the classic table: two back is needed for the swap.
  using Row = std::array<std::size_t, kWordBytes + 1>;
  Row before{}, last{}, row{};
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> known) {
  std::optional<std::string_view> nearest;
  std::size_t least = std::max<std::size_t>(1, std::min(word.size(), kWordBytes) / 3) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < least && distance < candidate.size()) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string suggestion_for(std::string_view word, std::span<const std::string_view> known) {
  if (const auto nearest = nearest_word(word, known)) return "did you mean " + std::string(*nearest) + "?";
  std::string text = "known are ";
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (i > 0) text += i + 1 == known.size() ? " and " : ", ";
    text += known[i];
  }
  return text;
}

}  // namespace ebb::model
