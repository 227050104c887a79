#include "meter/prometheus_text.h"

namespace ebb::meter {

void append_head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n");
  out.append("# TYPE ").append(name).append(" ").append(type).append("\n");
}

void append_sample(std::string& out, std::string_view name, std::string_view labels, std::string_view value) {
  out.append(name);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.append(" ").append(value).append("\n");
}

void append_counter(std::string& out, std::string_view name, std::string_view help, std::uint64_t value) {
  append_head(out, name, "counter", help);
  append_sample(out, name, "", std::to_string(value));
}

}  // namespace ebb::meter
