// JSON written straight into a string, without a tree: for the event of every call and for answers that carry what
// functions printed. Whatever goes in, the text that comes out is valid JSON and valid UTF-8.
// Called by event.cc and views.cc.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace ebb::gateway {

/// Appends the text as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. Cost: one pass and one
/// append for plain ASCII.
void append_json(std::string& out, std::string_view text);

/// An object under construction: JsonObject().text("app", app).number("version", 3).close().
class JsonObject {
 public:
  JsonObject& text(std::string_view name, std::string_view value);
  /// `json` is the text of a JSON value.
  JsonObject& raw(std::string_view name, std::string_view json);
  JsonObject& flag(std::string_view name, bool value) { return raw(name, value ? "true" : "false"); }
  template <std::integral Number>
  JsonObject& number(std::string_view name, Number value) {
    return raw(name, std::to_string(value));
  }
  /// The finished text; the object is empty afterwards.
  std::string close();

 private:
  void begin(std::string_view name);

  std::string out_ = "{";
};

/// An array of JSON values under construction.
class JsonArray {
 public:
  JsonArray& add(std::string_view json);
  std::string close();

 private:
  std::string out_ = "[";
};

}  // namespace ebb::gateway
