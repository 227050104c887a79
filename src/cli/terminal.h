// What the command line prints and how: colours only on a terminal and never with NO_COLOR, tables, a progress line
// that is redrawn on a terminal and left out elsewhere. Text that came from functions is made harmless before a
// terminal sees it. Called by every command.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ebb::cli {

enum class Colour { kRed, kGreen, kYellow, kDim, kBold };

struct Terminal {
  bool out = false;     // standard output is a terminal
  bool err = false;     // standard error is a terminal
  bool colour = false;  // NO_COLOR is not set and TERM is not dumb

  static Terminal detect();

  /// The text in the colour when the stream shows colours, else as it is.
  std::string on_out(Colour tint, std::string_view text) const;
  std::string on_err(Colour tint, std::string_view text) const;
};

/// Control characters but tab and newline become '?', so that nobody's output moves the cursor or renames the window.
std::string harmless(std::string_view text);

void print_out(std::string_view text);
void print_err(std::string_view text);

/// Columns of equal width; the last one is never padded.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// The columns named (by index) are aligned to the right.
  std::string text(const Terminal& terminal, const std::vector<std::size_t>& right = {}) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// One line at the bottom of the terminal that is redrawn; nothing when standard error is no terminal.
class ProgressLine {
 public:
  explicit ProgressLine(bool shown) : shown_(shown) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(std::string_view text);
  /// "uploading [######----] 60 %  12.0 of 20.0 MiB"
  void show_bar(std::string_view what, std::uint64_t done, std::uint64_t all);
  void clear();

 private:
  bool shown_;
  bool drawn_ = false;
};

/// "17 B", "12.3 KiB", "1.0 GiB".
std::string size_text(std::uint64_t bytes);

}  // namespace ebb::cli
