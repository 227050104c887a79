// What a deployment leaves out: a few fixed names (.git, __pycache__, *.pyc, .venv, node_modules) and patterns, those
// of .ebbignore, which reads like .gitignore: '#' comments, '*', '?', '[a-z]', '**', a leading '/' or an inner '/'
// anchors a pattern at the top, a trailing '/' matches folders only, '!' takes a path back in; the last pattern that
// matches decides. ebb.yaml is never left out. A folder that is left out is not entered, so nothing below it can be
// taken back in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ebb::cli {

class IgnoreRules {
 public:
  /// The fixed names, then the lines of an .ebbignore file ("" for none).
  explicit IgnoreRules(std::string_view ebbignore_text);

  /// `path` is relative to the packed folder, with '/' between its parts and none in front.
  bool leaves_out(std::string_view path, bool is_folder) const;

 private:
  struct Rule {
    std::vector<std::string> parts;
    bool anchored = false;
    bool folders_only = false;
    bool takes_back = false;
  };

  void add_line(std::string_view line);

  std::vector<Rule> rules_;
};

}  // namespace ebb::cli
