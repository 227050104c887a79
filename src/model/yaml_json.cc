#include "model/yaml_json.h"

#include <boost/json.hpp>
#include <charconv>
#include <cstdint>
#include <string>

namespace ebb::model {

namespace json = boost::json;

namespace {

// JSON's own words and numbers, and "+1", ".5", "5." and "~" beside them.
json::value value_of(const std::string& word) {
  if (word.empty() || word == "~" || word == "null" || word == "Null" || word == "NULL") return nullptr;
  if (word == "true" || word == "True" || word == "TRUE") return true;
  if (word == "false" || word == "False" || word == "FALSE") return false;
  if (word.find_first_not_of("+-.0123456789eE") != std::string::npos) return json::string(word);
  const char* begin = word.c_str() + (word.front() == '+' ? 1 : 0);
  const char* end = word.c_str() + word.size();
  std::int64_t whole = 0;
  const auto read = std::from_chars(begin, end, whole);
  if (read.ec == std::errc{} && read.ptr == end) return whole;
  double number = 0;
  const auto fraction = std::from_chars(begin, end, number);
  if (fraction.ec == std::errc{} && fraction.ptr == end) return number;
  return json::string(word);
}

}  // namespace

json::value json_of(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: break;
    case YamlNode::Kind::kScalar: return node.quoted ? json::value(json::string(node.scalar)) : value_of(node.scalar);
    case YamlNode::Kind::kList: {
      json::array list;
      for (const YamlNode& item : node.items) list.push_back(json_of(item));
      return list;
    }
    case YamlNode::Kind::kMap: {
      json::object map;
      for (std::size_t at = 0; at < node.keys.size(); ++at) map.emplace(node.keys[at], json_of(node.items[at]));
      return map;
    }
  }
  return nullptr;
}

}  // namespace ebb::model
