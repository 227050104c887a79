#include "model/yaml_json.h"

#include <boost/json.hpp>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace ebb::model {

namespace json = boost::json;

namespace {

// All of it.
template <typename Number>
std::errc read_number(std::string_view digits, Number& number) {
  const auto [rest, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return rest == digits.data() + digits.size() ? failed : std::errc::invalid_argument;
}

// JSON's own words and numbers, and "+1", ".5", "5." and "~" beside them. Nothing: a number out of range.
std::optional<json::value> value_of(const std::string& word) {
  if (word.empty() || word == "~" || word == "null" || word == "Null" || word == "NULL") return nullptr;
  if (word == "true" || word == "True" || word == "TRUE") return true;
  if (word == "false" || word == "False" || word == "FALSE") return false;
  if (word.find_first_not_of("+-.0123456789eE") != std::string::npos) return json::string(word);
  std::string_view digits = word;
  if (digits.front() == '+') digits.remove_prefix(1);
  if (word.front() == '+' && digits.starts_with('-')) return json::string(word);
  std::int64_t whole = 0;
  std::uint64_t large = 0;
  double number = 0;
  const std::errc failed = read_number(digits, whole);
  if (failed == std::errc{}) return whole;
  if (read_number(digits, large) == std::errc{}) return large;
  if (failed == std::errc::result_out_of_range) return std::nullopt;
  const std::errc fraction = read_number(digits, number);
  if (fraction == std::errc::result_out_of_range) return std::nullopt;
  if (fraction == std::errc{}) return number;
  return json::string(word);
}

}  // namespace

base::Result<json::value> json_of(const YamlNode& node, const std::string& path) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: break;
    case YamlNode::Kind::kScalar: {
      if (node.quoted) return json::value(json::string(node.scalar));
      if (auto value = value_of(node.scalar)) return *std::move(value);
      return yaml_error(
          node.line, path,
          "has the number " + node.scalar.substr(0, 64) + ", which 64 bits do not hold: put it in quotes");
    }
    case YamlNode::Kind::kList: {
      json::array list;
      for (const YamlNode& item : node.items) {
        EBB_TRY(json::value value, json_of(item, path));
        list.push_back(std::move(value));
      }
      return json::value(std::move(list));
    }
    case YamlNode::Kind::kMap: {
      json::object map;
      for (std::size_t at = 0; at < node.keys.size(); ++at) {
        EBB_TRY(json::value value, json_of(node.items[at], path));
        map.emplace(node.keys[at], std::move(value));
      }
      return json::value(std::move(map));
    }
  }
  return json::value(nullptr);
}

}  // namespace ebb::model
