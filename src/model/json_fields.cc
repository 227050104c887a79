#include "model/json_fields.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace ebb::model {

namespace json = boost::json;

base::Error field_error(std::string_view key, std::string_view message) {
  return base::invalid_argument(std::string(key) + " " + std::string(message));
}

base::Result<> read_field(const json::object& object, std::string_view key, std::string& out) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return {};
  if (!value->is_string()) return field_error(key, "must be a string");
  out = std::string(value->get_string());
  return {};
}

base::Result<> read_field(const json::object& object, std::string_view key, std::uint32_t& out) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return {};
  boost::system::error_code ec;
  out = value->to_number<std::uint32_t>(ec);
  if (ec) return field_error(key, "must be a whole number");
  return {};
}

base::Result<> read_field(const json::object& object, std::string_view key, base::Duration& out) {
  std::string text;
  EBB_CHECKED(read_field(object, key, text));
  if (text.empty()) return {};
  const auto duration = base::parse_duration(text);
  if (!duration) return field_error(key, duration.error().message);
  out = *duration;
  return {};
}

base::Result<> read_field(const json::object& object, std::string_view key, std::vector<std::string>& out) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return {};
  const auto wrong = field_error(key, "must be a list of strings");
  if (!value->is_array()) return wrong;
  for (const json::value& item : value->get_array()) {
    if (!item.is_string()) return wrong;
    out.emplace_back(item.get_string());
  }
  return {};
}

base::Result<> read_field(const json::object& object, std::string_view key, std::map<std::string, std::string>& out) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return {};
  if (!value->is_object()) return field_error(key, "must be an object");
  for (const auto& entry : value->get_object()) {
    if (!entry.value().is_string()) return field_error(key, "must hold strings");
    out.emplace(entry.key(), std::string(entry.value().get_string()));
  }
  return {};
}

}  // namespace ebb::model
