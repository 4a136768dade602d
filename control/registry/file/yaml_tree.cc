#include "control/registry/file/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <streambuf>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace countersign::control::registry {
namespace {

// yaml-cpp reports errors by exceptions of its own; they end in ParseYaml below.
[[noreturn]] void Refuse(const YAML::Mark& mark, const std::string& reason) {
  throw YAML::ParserException(mark, reason);
}

// A length-checked UTF-8 decoder (RFC 3629, section 4) that also refuses NUL.
bool FindBadByte(absl::string_view text, size_t* at) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t j) { return static_cast<uint8_t>(text[j]); };
    const uint8_t c = byte(i);
    size_t more = 0;
    uint8_t low = 0x80, high = 0xbf;
    if (c >= 0x01 && c < 0x80) {
      more = 0;
    } else if (c >= 0xc2 && c <= 0xdf) {
      more = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
      more = 2;
      low = c == 0xe0 ? 0xa0 : low;
      high = c == 0xed ? 0x9f : high;
    } else if (c >= 0xf0 && c <= 0xf4) {
      more = 3;
      low = c == 0xf0 ? 0x90 : low;
      high = c == 0xf4 ? 0x8f : high;
    } else {
      *at = i;
      return true;
    }
    if (more > text.size() - i - 1) {
      *at = i;
      return true;
    }
    for (size_t j = 1; j <= more; ++j) {
      if (byte(i + j) < low || byte(i + j) > high) {
        *at = i;
        return true;
      }
      low = 0x80;
      high = 0xbf;
    }
    i += more + 1;
  }
  return false;
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const YamlLimits& limits, std::vector<YamlNode>* documents)
      : limits_(limits), documents_(*documents) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++document_count_ > limits_.max_documents) {
      Refuse(mark, absl::StrCat("more than ", limits_.max_documents, " documents in one file"));
    }
    stack_.clear();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(Begin(mark, anchor, YamlNode::Type::kNull));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(mark, "aliases (`*name`) are not taken: write the value out");
  }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    Refuse(mark, "anchors (`&name`) are not taken: write the value out where it is needed");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = Begin(mark, anchor, YamlNode::Type::kScalar);
    // yaml-cpp's tags of untagged scalars: `?` plain, `!` quoted.
    if (!tag.empty() && tag != "?" && tag != "!") {
      Refuse(mark, "tags (`!name`) are not taken");
    }
    node.quoted = tag == "!";
    node.scalar = value;
    if (!node.quoted &&
        (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL")) {
      node.type = YamlNode::Type::kNull;
    }
    Add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Push(mark, tag, anchor, YamlNode::Type::kSequence);
  }
  void OnSequenceEnd() override { Pop(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Push(mark, tag, anchor, YamlNode::Type::kMap);
  }
  void OnMapEnd() override { Pop(); }

 private:
  struct Frame {
    YamlNode node;
    YAML::Mark mark;
    absl::flat_hash_set<std::string> seen;
    bool expects_value = false;
  };

  YamlNode Begin(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode::Type type) {
    if (anchor != 0) {
      OnAnchor(mark, "");
    }
    if (++node_count_ > limits_.max_nodes) {
      Refuse(mark, absl::StrCat("more than ", limits_.max_nodes, " values in one file"));
    }
    YamlNode node;
    node.type = type;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void Push(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Type type) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      Refuse(mark, "tags (`!name`) are not taken");
    }
    if (stack_.size() >= limits_.max_depth) {
      Refuse(mark, absl::StrCat("nested deeper than ", limits_.max_depth, " levels"));
    }
    if (!stack_.empty() && stack_.back().node.type == YamlNode::Type::kMap &&
        !stack_.back().expects_value) {
      Refuse(mark, "a key must be a plain word, not a list or a map");
    }
    Frame& frame = stack_.emplace_back();
    frame.node = Begin(mark, anchor, type);
    frame.mark = mark;
  }

  void Pop() {
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    Add(std::move(node));
  }

  void Add(YamlNode node) {
    if (stack_.empty()) {
      if (node.type != YamlNode::Type::kNull) {
        documents_.push_back(std::move(node));
      }
      return;
    }
    Frame& frame = stack_.back();
    if (frame.node.type == YamlNode::Type::kSequence) {
      frame.node.children.push_back(std::move(node));
      return;
    }
    if (frame.expects_value) {
      frame.node.children.push_back(std::move(node));
      frame.expects_value = false;
      return;
    }
    if (!frame.seen.insert(node.scalar).second) {
      YAML::Mark mark;
      mark.line = node.line - 1;
      mark.column = node.column - 1;
      Refuse(mark, absl::StrCat("the key `", node.scalar, "` stands twice in the same map"));
    }
    frame.node.keys.push_back({std::move(node.scalar), node.line, node.column});
    frame.expects_value = true;
  }

  const YamlLimits& limits_;
  std::vector<YamlNode>& documents_;
  std::vector<Frame> stack_;
  size_t document_count_ = 0;
  size_t node_count_ = 0;
};

// Reads `text` where it lies.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(absl::string_view text) {
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

const YamlNode* YamlNode::Find(absl::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].text == key) {
      return &children[i];
    }
  }
  return nullptr;
}

bool ParseYaml(absl::string_view text, const YamlLimits& limits, std::vector<YamlNode>* documents,
               YamlError* error) {
  documents->clear();
  if (text.size() > limits.max_bytes) {
    *error = {0, 0,
              absl::StrCat("has ", text.size(), " bytes; at most ", limits.max_bytes,
                           " are read: split it")};
    return false;
  }
  size_t bad = 0;
  if (FindBadByte(text, &bad)) {
    int line = 1, column = 1;
    for (char c : text.substr(0, bad)) {
      column = c == '\n' ? 1 : column + 1;
      line += c == '\n';
    }
    *error = {line, column, "is not UTF-8 text"};
    return false;
  }
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    TreeBuilder builder(limits, documents);
    while (parser.HandleNextDocument(builder)) {
    }
    return true;
  } catch (const YAML::Exception& e) {
    documents->clear();
    *error = {e.mark.line + 1, e.mark.column + 1, absl::StrCat("is no valid YAML: ", e.msg)};
    if (e.mark.is_null()) {
      error->line = error->column = 0;
    }
    return false;
  }
}

}  // namespace countersign::control::registry
