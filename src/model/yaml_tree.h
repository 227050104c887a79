// YAML as a plain tree with line numbers, and typed reading of it: what the manifest and the daemon's configuration
// share. Only the harmless part of YAML is accepted: one document, no anchors, aliases, merge keys or tags, bounded
// depth and size, every key once and a plain word. So the cost of reading is linear in the text and nothing is
// expanded.
//
// Every error begins with "line N:" and the path of the key.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/duration.h"
#include "base/result.h"
#include "model/suggestion.h"

namespace ebb::model {

struct YamlNode {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;                   // counted from 1
  std::string scalar;             // of a scalar
  bool quoted = false;            // of a scalar: it stands in quotes, or is a block of text
  std::vector<std::string> keys;  // of a map, in the order written, beside items
  std::vector<int> key_lines;     // where each key stands, beside keys
  std::vector<YamlNode> items;    // of a list or a map
};

/// Reads one document; an empty text is a null node.
/// Errors: kTooLarge above limits::kManifestBytes, kInvalidArgument for the rest. Threads: any.
base::Result<YamlNode> parse_yaml(std::string_view text);

/// "line 7: functions.digits.memory: message". `path` may be empty.
base::Error yaml_error(int line, std::string_view path, std::string_view message);

/// One mapping being read into typed values. Each read leaves `out` as it was when the key is absent.
class YamlMap {
 public:
  /// `node` must outlive the reader. Errors: `node` is not a map, or holds a key that is not among `known`.
  static base::Result<YamlMap> open(const YamlNode& node, std::string path, std::span<const std::string_view> known);

  const YamlNode* find(std::string_view key) const;
  std::string path_of(std::string_view key) const;
  /// The line of a key, or of the map when it lacks it.
  int line_of(std::string_view key) const;
  base::Error error_at(std::string_view key, std::string_view message) const;

  base::Result<void> read(std::string_view key, std::string& out) const;
  base::Result<void> read(std::string_view key, bool& out) const;
  base::Result<void> read(std::string_view key, std::uint32_t& out) const;
  base::Result<void> read(std::string_view key, base::Bytes& out) const;
  base::Result<void> read(std::string_view key, base::Duration& out) const;
  /// A word that names an enumerator; `words` in the order of the enumerators, which count from 0.
  template <typename Enum, std::size_t N>
  base::Result<void> read(std::string_view key, const std::array<std::string_view, N>& words, Enum& out) const {
    std::string text(words[static_cast<std::size_t>(out)]);
    EBB_CHECKED(read(key, text));
    const auto at = std::find(words.begin(), words.end(), text);
    if (at == words.end()) return error_at(key, "is '" + text + "', " + suggestion_for(text, words));
    out = static_cast<Enum>(at - words.begin());
    return {};
  }

 private:
  YamlMap(const YamlNode& node, std::string path) : node_(&node), path_(std::move(path)) {}
  base::Result<const std::string*> scalar(std::string_view key, std::string_view expected) const;

  const YamlNode* node_;
  std::string path_;
};

}  // namespace ebb::model
