// Prometheus' text exposition format (0.0.4): the two kinds of lines that every family of metrics is written with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ebb::meter {

/// Appends what stands before a family's samples: its help and its type ("counter", "gauge", "histogram").
void append_head(std::string& out, std::string_view name, std::string_view type, std::string_view help);
/// Appends one sample; `labels` as they stand between the braces, escaped, or empty.
void append_sample(std::string& out, std::string_view name, std::string_view labels, std::string_view value);
/// Appends a whole family: a counter without labels.
void append_counter(std::string& out, std::string_view name, std::string_view help, std::uint64_t value);

}  // namespace ebb::meter
