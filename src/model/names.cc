#include "model/names.h"

#include <algorithm>

#include "base/limits.h"

namespace ebb::model {
namespace {

// Not <cctype>: those follow the locale.
bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_word_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > limits::kNameLength) return false;
  if (!is_lower_or_digit(text.front()) || !is_lower_or_digit(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_lower_or_digit(c) || c == '-'; });
}

base::Result<void> check_name(std::string_view what, std::string_view text) {
  if (is_name(text)) return {};
  return base::invalid_argument(
      "'" + std::string(text.substr(0, 80)) + "' cannot name an " +
      (what == "app" || what == "organisation" ? std::string(what) : "app's " + std::string(what)) + ": use 1 to " +
      std::to_string(limits::kNameLength) + " lower-case letters, digits and inner hyphens");
}

bool is_identifier(std::string_view text) {
  if (text.empty() || !is_word_start(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_word_start(c) || (c >= '0' && c <= '9'); });
}

}  // namespace ebb::model
