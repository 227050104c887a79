#include "model/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <istream>
#include <optional>
#include <set>
#include <streambuf>
#include <utility>

#include "base/limits.h"
#include "base/utf8.h"
#include "model/suggestion.h"

namespace ebb::model {
namespace {

// Builds the tree from the parser's events. After the first error it only counts depth and keeps nothing more.
class TreeBuilder final : public YAML::EventHandler {
 public:
  const std::optional<base::Error>& error() const { return error_; }
  YamlNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node;
    node.line = mark.line + 1;
    if (accept(node.line, "", anchor)) add(std::move(node));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail(mark.line + 1, "an alias (*name) is not accepted here, write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.line = mark.line + 1;
    node.scalar = value;
    node.quoted = tag == "!";
    if (accept(node.line, tag, anchor)) add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark.line + 1, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark.line + 1, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    YamlNode node;
    std::optional<std::string> key;  // read, its value not yet
    std::set<std::string> seen;      // its keys so far
  };

  void fail(int line, std::string_view message) {
    if (!error_) error_ = yaml_error(line, path(), message);
    stack_.clear();
  }

  std::string path() const {
    std::string text;
    for (const Frame& frame : stack_) {
      if (!frame.key) continue;
      if (!text.empty()) text += '.';
      text += *frame.key;
    }
    return text;
  }

  // The parser reports "?" for a plain node without a tag and "!" for a quoted one.
  bool accept(int line, const std::string& tag, YAML::anchor_t anchor) {
    if (error_) return false;
    if (anchor != 0) fail(line, "an anchor (&name) is not accepted here, write the value out");
    if (!tag.empty() && tag != "?" && tag != "!") fail(line, "a tag (" + tag.substr(0, 64) + ") is not accepted here");
    return !error_;
  }

  void open(int line, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (!accept(line, tag, anchor)) return;
    if (stack_.size() >= limits::kYamlDepth) {
      return fail(line, "more than " + std::to_string(limits::kYamlDepth) + " levels of maps and lists");
    }
    if (!stack_.empty() && stack_.back().node.kind == YamlNode::Kind::kMap && !stack_.back().key) {
      return fail(line, "a key must be a plain word");
    }
    Frame frame;
    frame.node.kind = kind;
    frame.node.line = line;
    stack_.push_back(std::move(frame));
  }

  void close() {
    if (error_) return;
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& parent = stack_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      add_key(parent, std::move(node));
    } else {
      // The parser places a missing value at the next token, which may be lines away.
      if (node.kind == YamlNode::Kind::kNull) node.line = parent.node.key_lines.back();
      parent.node.keys.push_back(*std::exchange(parent.key, std::nullopt));
      parent.node.items.push_back(std::move(node));
    }
  }

  void add_key(Frame& parent, YamlNode key) {
    if (key.kind != YamlNode::Kind::kScalar || key.scalar.empty()) return fail(key.line, "a key must be a plain word");
    const int line = key.line;
    const bool again = !parent.seen.insert(key.scalar).second;
    parent.key = std::move(key.scalar);
    parent.node.key_lines.push_back(line);
    if (*parent.key == "<<") return fail(line, "merge keys are not accepted here, write the values out");
    if (again) fail(line, "written twice, keep one of them");
  }

  YamlNode root_;
  std::vector<Frame> stack_;
  std::optional<base::Error> error_;
};

// The parser wants a stream; this one reads the text in place.
class TextBuffer final : public std::streambuf {
 public:
  explicit TextBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // never written: only the get area is set
    setg(begin, begin, begin + text.size());
  }
};

std::string_view kind_name(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull: return "empty";
    case YamlNode::Kind::kScalar: return "a single value";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMap: return "a map";
  }
  return "";
}

}  // namespace

base::Error yaml_error(int line, std::string_view path, std::string_view message) {
  std::string text = "line " + std::to_string(line) + ": ";
  if (!path.empty()) text += std::string(path) + ": ";
  return base::invalid_argument(text + std::string(message));
}

base::Result<YamlNode> parse_yaml(std::string_view text) {
  if (text.size() > limits::kManifestBytes) {
    return base::Error{base::Code::kTooLarge, "the file has " + std::to_string(text.size()) + " bytes, the limit is " +
                                                  std::to_string(limits::kManifestBytes)};
  }
  const auto line_at = [&](std::size_t at) {
    return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    return yaml_error(line_at(nul), "", "holds a NUL character, it must be UTF-8 text");
  }
  if (const auto valid = base::valid_utf8(text); valid < text.size()) {
    return yaml_error(line_at(valid), "", "holds bytes that are no UTF-8, it must be UTF-8 text");
  }
  TreeBuilder builder;
  try {
    TextBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return YamlNode{.line = 1};
    if (builder.error()) return *builder.error();
    TreeBuilder second;
    if (parser.HandleNextDocument(second)) return yaml_error(1, "", "holds more than one document, remove the ---");
  } catch (const YAML::Exception& e) {
    if (builder.error()) return *builder.error();
    return yaml_error(std::max(e.mark.line, 0) + 1, "", "is not YAML: " + e.msg);
  } catch (const std::exception& e) {
    return base::invalid_argument(std::string("is not YAML: ") + e.what());
  }
  return builder.take_root();
}

base::Result<YamlMap> YamlMap::open(const YamlNode& node, std::string path, std::span<const std::string_view> known) {
  if (node.kind != YamlNode::Kind::kMap) {
    return yaml_error(node.line, path,
                      "is " + std::string(kind_name(node.kind)) + ", expected a map of keys to values");
  }
  YamlMap map(node, std::move(path));
  for (const std::string& key : node.keys) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    return map.error_at(key, "unknown key, " + suggestion_for(key, known));
  }
  return map;
}

const YamlNode* YamlMap::find(std::string_view key) const {
  const auto at = std::find(node_->keys.begin(), node_->keys.end(), key);
  if (at == node_->keys.end()) return nullptr;
  return &node_->items[static_cast<std::size_t>(at - node_->keys.begin())];
}

std::string YamlMap::path_of(std::string_view key) const {
  if (path_.empty()) return std::string(key);
  if (key.empty()) return path_;
  return path_ + "." + std::string(key);
}

int YamlMap::line_of(std::string_view key) const {
  const auto at = std::find(node_->keys.begin(), node_->keys.end(), key);
  if (at == node_->keys.end()) return node_->line;
  return node_->key_lines[static_cast<std::size_t>(at - node_->keys.begin())];
}

base::Error YamlMap::error_at(std::string_view key, std::string_view message) const {
  return yaml_error(line_of(key), path_of(key), message);
}

base::Result<const std::string*> YamlMap::scalar(std::string_view key, std::string_view expected) const {
  const YamlNode* node = find(key);
  if (node == nullptr) return nullptr;
  if (node->kind == YamlNode::Kind::kScalar) return &node->scalar;
  return error_at(key, "is " + std::string(kind_name(node->kind)) + ", expected " + std::string(expected));
}

base::Result<void> YamlMap::read(std::string_view key, std::string& out) const {
  EBB_TRY(const std::string* text, scalar(key, "a text (\"\" for an empty one)"));
  if (text != nullptr) out = *text;
  return {};
}

base::Result<void> YamlMap::read(std::string_view key, bool& out) const {
  EBB_TRY(const std::string* text, scalar(key, "true or false"));
  if (text == nullptr) return {};
  if (*text != "true" && *text != "false") return error_at(key, "is '" + *text + "', expected true or false");
  out = *text == "true";
  return {};
}

base::Result<void> YamlMap::read(std::string_view key, std::uint32_t& out) const {
  EBB_TRY(const std::string* text, scalar(key, "a whole number"));
  if (text == nullptr) return {};
  const char* end = text->data() + text->size();
  const auto [rest, ec] = std::from_chars(text->data(), end, out);
  if (ec != std::errc{} || rest != end) return error_at(key, "is '" + *text + "', expected a whole number");
  return {};
}

base::Result<void> YamlMap::read(std::string_view key, base::Bytes& out) const {
  EBB_TRY(const std::string* text, scalar(key, "a size such as 512Mi"));
  if (text == nullptr) return {};
  const auto bytes = base::parse_bytes(*text);
  if (!bytes) return error_at(key, bytes.error().message);
  out = *bytes;
  return {};
}

base::Result<void> YamlMap::read(std::string_view key, base::Duration& out) const {
  EBB_TRY(const std::string* text, scalar(key, "a duration such as 30s"));
  if (text == nullptr) return {};
  const auto duration = base::parse_duration(*text);
  if (!duration) return error_at(key, duration.error().message);
  out = *duration;
  return {};
}

}  // namespace ebb::model
