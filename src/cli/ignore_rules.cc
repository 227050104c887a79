#include "cli/ignore_rules.h"

#include <fnmatch.h>

#include <span>

namespace ebb::cli {
namespace {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) parts.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return parts;
}

// The patterns are the developer's own and short, so the backtracking of "**" needs no memory.
bool matches(std::span<const std::string> pattern, std::span<const std::string> path) {
  if (pattern.empty()) return path.empty();
  if (pattern.front() == "**") {
    for (std::size_t skipped = 0; skipped <= path.size(); ++skipped) {
      if (matches(pattern.subspan(1), path.subspan(skipped))) return true;
    }
    return false;
  }
  if (path.empty() || fnmatch(pattern.front().c_str(), path.front().c_str(), 0) != 0) return false;
  return matches(pattern.subspan(1), path.subspan(1));
}

}  // namespace

IgnoreRules::IgnoreRules(std::string_view ebbignore_text) {
  for (const char* fixed : {".git", "__pycache__", "*.pyc", ".venv", "node_modules", "/.ebbignore"}) add_line(fixed);
  while (!ebbignore_text.empty()) {
    const auto end = ebbignore_text.find('\n');
    add_line(ebbignore_text.substr(0, end));
    if (end == std::string_view::npos) break;
    ebbignore_text.remove_prefix(end + 1);
  }
}

void IgnoreRules::add_line(std::string_view line) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) line.remove_suffix(1);
  if (line.empty() || line.front() == '#') return;
  Rule rule;
  if (line.front() == '!') {
    rule.takes_back = true;
    line.remove_prefix(1);
  }
  if (!line.empty() && line.back() == '/') {
    rule.folders_only = true;
    line.remove_suffix(1);
  }
  rule.anchored = line.find('/') != std::string_view::npos;
  rule.parts = split_path(line);
  if (!rule.parts.empty()) rules_.push_back(std::move(rule));
}

bool IgnoreRules::leaves_out(std::string_view path, bool is_folder) const {
  if (path == "ebb.yaml") return false;
  const std::vector<std::string> parts = split_path(path);
  if (parts.empty()) return false;
  const std::span<const std::string> whole(parts);
  bool out = false;
  for (const Rule& rule : rules_) {
    if (rule.folders_only && !is_folder) continue;
    if (matches(rule.parts, rule.anchored ? whole : whole.last(1))) out = !rule.takes_back;
  }
  return out;
}

}  // namespace ebb::cli
