#include "gateway/json_text.h"

#include <algorithm>
#include <utility>

#include "http/error_response.h"

namespace ebb::gateway {

void append_json(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
  });
  if (!plain) {
    out += http::json_quoted(text);
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

void JsonObject::begin(std::string_view name) {
  if (out_.size() > 1) out_ += ',';
  append_json(out_, name);
  out_ += ':';
}

JsonObject& JsonObject::text(std::string_view name, std::string_view value) {
  begin(name);
  append_json(out_, value);
  return *this;
}

JsonObject& JsonObject::raw(std::string_view name, std::string_view json) {
  begin(name);
  out_ += json;
  return *this;
}

std::string JsonObject::close() {
  out_ += '}';
  return std::exchange(out_, "{");
}

JsonArray& JsonArray::add(std::string_view json) {
  if (out_.size() > 1) out_ += ',';
  out_ += json;
  return *this;
}

std::string JsonArray::close() {
  out_ += ']';
  return std::exchange(out_, "[");
}

}  // namespace ebb::gateway
