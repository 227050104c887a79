#include "cli/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace ebb::cli {
namespace {

std::string tinted(Colour tint, std::string_view text) {
  std::string_view code;
  switch (tint) {
    case Colour::kRed: code = "31"; break;
    case Colour::kGreen: code = "32"; break;
    case Colour::kYellow: code = "33"; break;
    case Colour::kDim: code = "2"; break;
    case Colour::kBold: code = "1"; break;
  }
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace

Terminal Terminal::detect() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* kind = std::getenv("TERM");
  const bool dumb = kind == nullptr || std::string_view(kind) == "dumb";
  return Terminal{.out = isatty(STDOUT_FILENO) == 1,
                  .err = isatty(STDERR_FILENO) == 1,
                  .colour = !dumb && (no_colour == nullptr || *no_colour == '\0')};
}

std::string Terminal::on_out(Colour tint, std::string_view text) const {
  return out && colour ? tinted(tint, text) : std::string(text);
}

std::string Terminal::on_err(Colour tint, std::string_view text) const {
  return err && colour ? tinted(tint, text) : std::string(text);
}

std::string harmless(std::string_view text) {
  std::string result(text);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<unsigned char>(result[i]);
    if ((byte < 0x20 && byte != '\t' && byte != '\n') || byte == 0x7f) result[i] = '?';
    // U+0080 to U+009F: control characters too, two bytes in UTF-8.
    const bool c1 = byte == 0xc2 && i + 1 < result.size() && static_cast<unsigned char>(result[i + 1]) < 0xa0;
    if (c1) result.replace(i, 2, "?");
  }
  return result;
}

void print_out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print_err(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

std::string Table::text(const Terminal& terminal, const std::vector<std::size_t>& right) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string result;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      const bool to_right = std::find(right.begin(), right.end(), i) != right.end();
      if (i > 0) line += "  ";
      line += to_right ? padding + row[i] : row[i];
      if (!to_right && i + 1 < row.size()) line += padding;
    }
    result += (&row == &rows_.front() ? terminal.on_out(Colour::kDim, line) : line) + "\n";
  }
  return result;
}

void ProgressLine::show(std::string_view text) {
  if (!shown_) return;
  print_err("\r\x1b[K" + harmless(text.substr(0, 100)));
  drawn_ = true;
}

void ProgressLine::show_bar(std::string_view what, std::uint64_t done, std::uint64_t all) {
  constexpr std::uint64_t kWidth = 24;
  const std::uint64_t filled = all == 0 ? kWidth : std::min(kWidth, kWidth * done / all);
  const std::uint64_t percent = all == 0 ? 100 : 100 * done / all;
  show(std::string(what) + " [" + std::string(filled, '#') + std::string(kWidth - filled, '-') + "] " +
       std::to_string(percent) + " %  " + size_text(done) + " of " + size_text(all));
}

void ProgressLine::clear() {
  if (drawn_) print_err("\r\x1b[K");
  drawn_ = false;
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 4> kUnits = {"B", "KiB", "MiB", "GiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

}  // namespace ebb::cli
