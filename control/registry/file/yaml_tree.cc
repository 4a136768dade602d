#include "control/registry/file/yaml_tree.h"

#include <yaml.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace countersign::control::registry {
namespace {

// Below this, comparing every two keys of a map is cheaper than a table of them.
constexpr size_t kFewKeys = 16;

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

YamlError ErrorAtByte(absl::string_view text, size_t at, std::string reason) {
  YamlError error = {1, 1, std::move(reason)};
  for (char c : text.substr(0, at)) {
    error.column = c == '\n' ? 1 : error.column + 1;
    error.line += c == '\n';
  }
  return error;
}

YamlError Invalid(const yaml_mark_t& mark, absl::string_view why) {
  return {static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1,
          absl::StrCat("is no valid YAML: ", why)};
}

struct Event {
  Event() = default;
  ~Event() { yaml_event_delete(&raw); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  yaml_event_t raw{};
};

// libyaml over `text`, which outlives it: one event at a time, nothing expanded.
class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text), ready_(yaml_parser_initialize(&parser_)) {
    if (ready_) {
      yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                   text.size());
    }
  }
  ~Parser() { yaml_parser_delete(&parser_); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  bool Next(Event* event, YamlError* error) {
    if (ready_ && yaml_parser_parse(&parser_, &event->raw) == 1) {
      return true;
    }
    if (parser_.problem == nullptr) {
      *error = {0, 0, "cannot be read: memory is short"};
    } else if (parser_.error == YAML_READER_ERROR) {
      *error = ErrorAtByte(text_, parser_.problem_offset,
                           absl::StrCat("is no valid YAML: ", parser_.problem));
    } else if (parser_.context == nullptr) {
      *error = Invalid(parser_.problem_mark, parser_.problem);
    } else {
      *error = Invalid(parser_.problem_mark,
                       absl::StrCat(parser_.context, " in line ", parser_.context_mark.line + 1,
                                    ", ", parser_.problem));
    }
    return false;
  }

 private:
  const absl::string_view text_;
  yaml_parser_t parser_{};
  const bool ready_;
};

// Makes trees of events, or says which is refused.
class TreeBuilder {
 public:
  TreeBuilder(const YamlLimits& limits, std::vector<YamlNode>* documents, YamlError* error)
      : limits_(limits), documents_(*documents), error_(*error) {}

  // False where `event` is refused: `error` says why.
  bool Take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        return ++document_count_ <= limits_.max_documents ||
               Refuse(event,
                      absl::StrCat("more than ", limits_.max_documents, " documents in one file"));
      case YAML_ALIAS_EVENT:
        return Refuse(event, "aliases (`*name`) are not taken: write the value out");
      case YAML_SCALAR_EVENT:
        return TakeScalar(event);
      case YAML_SEQUENCE_START_EVENT:
        return Push(event, event.data.sequence_start.anchor, event.data.sequence_start.tag,
                    YamlNode::Type::kSequence);
      case YAML_MAPPING_START_EVENT:
        return Push(event, event.data.mapping_start.anchor, event.data.mapping_start.tag,
                    YamlNode::Type::kMap);
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        return Pop();
      default:
        return true;  // the stream's begin, a document's end
    }
  }

 private:
  struct Frame {
    YamlNode node;
    bool expects_value = false;
  };

  bool Refuse(const yaml_event_t& event, absl::string_view reason) {
    error_ = Invalid(event.start_mark, reason);
    return false;
  }

  // Fills in what all nodes have.
  bool Begin(const yaml_event_t& event, const yaml_char_t* anchor, const yaml_char_t* tag,
             YamlNode::Type type, YamlNode* node) {
    if (anchor != nullptr) {
      return Refuse(event,
                    "anchors (`&name`) are not taken: write the value out where it is needed");
    }
    if (tag != nullptr) {
      return Refuse(event, "tags (`!name`) are not taken");
    }
    if (++node_count_ > limits_.max_nodes) {
      return Refuse(event, absl::StrCat("more than ", limits_.max_nodes, " values in one file"));
    }
    node->type = type;
    node->line = static_cast<int>(event.start_mark.line) + 1;
    node->column = static_cast<int>(event.start_mark.column) + 1;
    return true;
  }

  bool TakeScalar(const yaml_event_t& event) {
    const auto& scalar = event.data.scalar;
    YamlNode node;
    if (!Begin(event, scalar.anchor, scalar.tag, YamlNode::Type::kScalar, &node)) {
      return false;
    }
    node.quoted = scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node.scalar.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
    if (!node.quoted && (node.scalar.empty() || node.scalar == "~" || node.scalar == "null" ||
                         node.scalar == "Null" || node.scalar == "NULL")) {
      node.type = YamlNode::Type::kNull;
    }
    Add(std::move(node));
    return true;
  }

  bool Push(const yaml_event_t& event, const yaml_char_t* anchor, const yaml_char_t* tag,
            YamlNode::Type type) {
    if (stack_.size() >= limits_.max_depth) {
      return Refuse(event, absl::StrCat("nested deeper than ", limits_.max_depth, " levels"));
    }
    if (!stack_.empty() && stack_.back().node.type == YamlNode::Type::kMap &&
        !stack_.back().expects_value) {
      return Refuse(event, "a key must be a plain word, not a list or a map");
    }
    return Begin(event, anchor, tag, type, &stack_.emplace_back().node);
  }

  bool Pop() {
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    if (const YamlNode::Key* key = FindRepeatedKey(node.keys); key != nullptr) {
      error_ = {
          key->line, key->column,
          absl::StrCat("is no valid YAML: the key `", key->text, "` stands twice in the same map")};
      return false;
    }
    Add(std::move(node));
    return true;
  }

  // The first that stands there a second time, or null.
  static const YamlNode::Key* FindRepeatedKey(const std::vector<YamlNode::Key>& keys) {
    if (keys.size() <= kFewKeys) {
      for (size_t i = 1; i < keys.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          if (keys[i].text == keys[j].text) {
            return &keys[i];
          }
        }
      }
      return nullptr;
    }
    absl::flat_hash_set<absl::string_view> seen;
    for (const YamlNode::Key& key : keys) {
      if (!seen.insert(key.text).second) {
        return &key;
      }
    }
    return nullptr;
  }

  void Add(YamlNode node) {
    if (stack_.empty()) {
      if (node.type != YamlNode::Type::kNull) {
        documents_.push_back(std::move(node));
      }
      return;
    }
    Frame& frame = stack_.back();
    if (frame.node.type == YamlNode::Type::kMap && !frame.expects_value) {
      frame.node.keys.push_back({std::move(node.scalar), node.line, node.column});
      frame.expects_value = true;
      return;
    }
    frame.node.children.push_back(std::move(node));
    frame.expects_value = false;
  }

  const YamlLimits& limits_;
  std::vector<YamlNode>& documents_;
  YamlError& error_;
  std::vector<Frame> stack_;
  size_t document_count_ = 0;
  size_t node_count_ = 0;
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
  if (text.empty()) {
    return true;
  }
  if (text.size() > limits.max_bytes) {
    *error = {0, 0,
              absl::StrCat("has ", text.size(), " bytes; at most ", limits.max_bytes,
                           " are read: split it")};
    return false;
  }
  if (size_t bad = 0; FindBadByte(text, &bad)) {
    *error = ErrorAtByte(text, bad, "is not UTF-8 text");
    return false;
  }
  Parser parser(text);
  TreeBuilder builder(limits, documents, error);
  while (true) {
    Event event;
    if (!parser.Next(&event, error) || !builder.Take(event.raw)) {
      documents->clear();
      return false;
    }
    if (event.raw.type == YAML_STREAM_END_EVENT) {
      return true;
    }
  }
}

}  // namespace countersign::control::registry
