#include "control/registry/file/yaml_message.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "api/mesh/v1alpha1/core.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/duration.pb.h"

namespace countersign::control::registry {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumValueDescriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;

constexpr size_t kMaxQuoted = 64;

// What was written, shortened and without control bytes, so that a log line stays a line.
std::string Quote(absl::string_view text) {
  std::string out = "`";
  for (char c : text.substr(0, kMaxQuoted)) {
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return absl::StrCat(out, text.size() > kMaxQuoted ? "...`" : "`");
}

const char* TypeName(const YamlNode& node) {
  switch (node.type) {
    case YamlNode::Type::kNull:
      return "null";
    case YamlNode::Type::kScalar:
      return "a scalar";
    case YamlNode::Type::kSequence:
      return "a list";
    case YamlNode::Type::kMap:
      return "a map";
  }
  return "";
}

// YAML 1.1's booleans, which is what Kubernetes' tools take.
bool ParseBool(absl::string_view text, bool* value) {
  if (text.size() > 5) {
    return false;
  }
  const std::string lower = absl::AsciiStrToLower(text);
  for (absl::string_view yes : {"true", "yes", "on", "y"}) {
    if (lower == yes) {
      *value = true;
      return true;
    }
  }
  for (absl::string_view no : {"false", "no", "off", "n"}) {
    if (lower == no) {
      *value = false;
      return true;
    }
  }
  return false;
}

bool LooksLikeText(absl::string_view text) {
  bool ignored = false;
  double number = 0;
  if (ParseBool(text, &ignored)) {
    return false;
  }
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) {
    return false;
  }
  // SimpleAtod also takes `nan` and `inf`, which YAML writes with a dot. Most texts begin with a
  // letter, as no number does.
  const char first = text.empty() ? 'a' : text.front();
  return !((absl::ascii_isdigit(first) || first == '.' || first == '-' || first == '+') &&
           std::any_of(text.begin(), text.end(), absl::ascii_isdigit) &&
           absl::SimpleAtod(text, &number));
}

// Decimal digits only, so that `0x10`, `+1`, ` 1` and `1e3` are no integers.
bool ParseInteger(absl::string_view text, int64_t* value) {
  absl::string_view digits = text;
  if (!digits.empty() && digits.front() == '-') {
    digits.remove_prefix(1);
  }
  return !digits.empty() && (digits.size() == 1 || digits.front() != '0') &&
         std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, value);
}

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

// The name as it goes into messages.
std::string Shorten(absl::string_view name) {
  std::string quoted = Quote(name);
  return quoted.substr(1, quoted.size() - 2);
}

// Where a value stands: put into words only where something is wrong with it. On the stack, as deep
// as the value.
class Path {
 public:
  explicit Path(absl::string_view root) : name_(root) {}
  Path(const Path& parent, absl::string_view name) : parent_(&parent), name_(name) {}
  Path(const Path& list, size_t index) : parent_(&list), index_(index) {}

  // `spec.ports[0].port`
  std::string ToString() const {
    if (index_.has_value()) {
      return absl::StrCat(parent_->ToString(), "[", *index_, "]");
    }
    const std::string before = parent_ == nullptr ? "" : parent_->ToString();
    return absl::StrCat(before, before.empty() ? "" : ".", Shorten(name_));
  }

 private:
  const Path* parent_ = nullptr;
  absl::string_view name_;
  absl::optional<size_t> index_;
};

class Merger {
 public:
  explicit Merger(std::vector<YamlFieldError>* errors) : errors_(*errors) {}

  void Merge(const YamlNode& node, const Path& path, Message* message) {
    const Descriptor* type = message->GetDescriptor();
    if (type == google::protobuf::Duration::descriptor()) {
      MergeDuration(node, path, static_cast<google::protobuf::Duration*>(message));
      return;
    }
    if (type == mesh::v1alpha1::IntOrString::descriptor()) {
      MergeIntOrString(node, path, static_cast<mesh::v1alpha1::IntOrString*>(message));
      return;
    }
    if (node.type != YamlNode::Type::kMap) {
      Fail(node, path, absl::StrCat("must be a map, not ", TypeName(node)));
      return;
    }
    for (size_t i = 0; i < node.keys.size(); ++i) {
      const YamlNode::Key& key = node.keys[i];
      const FieldDescriptor* field = FindField(type, key.text);
      if (field == nullptr) {
        errors_.push_back({key.line, key.column, Path(path, key.text).ToString(),
                           absl::StrCat("unknown field", Suggest(type, key.text))});
        continue;
      }
      if (node.children[i].type != YamlNode::Type::kNull) {
        MergeField(node.children[i], Path(path, key.text), *field, message);
      }
    }
  }

 private:
  void Fail(const YamlNode& node, const Path& path, std::string reason) {
    errors_.push_back({node.line, node.column, path.ToString(), std::move(reason)});
  }

  static const FieldDescriptor* FindField(const Descriptor* type, absl::string_view name) {
    for (int i = 0; i < type->field_count(); ++i) {
      if (type->field(i)->json_name() == name) {
        return type->field(i);
      }
    }
    return nullptr;
  }

  // The nearest name, or all of them when nothing is near.
  static std::string Suggest(const Descriptor* type, absl::string_view name) {
    if (name.size() > kMaxQuoted) {
      return "";
    }
    const FieldDescriptor* best = nullptr;
    size_t best_distance = 3;
    std::string all;
    for (int i = 0; i < type->field_count(); ++i) {
      const std::string& known = type->field(i)->json_name();
      absl::StrAppend(&all, all.empty() ? "" : ", ", known);
      const size_t distance =
          EditDistance(absl::AsciiStrToLower(name), absl::AsciiStrToLower(known));
      if (distance < best_distance) {
        best = type->field(i);
        best_distance = distance;
      }
    }
    if (best != nullptr) {
      return absl::StrCat("; did you mean `", best->json_name(), "`?");
    }
    return absl::StrCat("; there are: ", all);
  }

  void MergeField(const YamlNode& node, const Path& path, const FieldDescriptor& field,
                  Message* message) {
    if (field.is_map()) {
      MergeMap(node, path, field, message);
      return;
    }
    if (!field.is_repeated()) {
      MergeValue(node, path, field, message);
      return;
    }
    if (node.type != YamlNode::Type::kSequence) {
      Fail(node, path, absl::StrCat("must be a list, not ", TypeName(node)));
      return;
    }
    for (size_t i = 0; i < node.children.size(); ++i) {
      const Path element(path, i);
      if (node.children[i].type == YamlNode::Type::kNull) {
        Fail(node.children[i], element, "is empty");
      } else {
        MergeValue(node.children[i], element, field, message);
      }
    }
  }

  void MergeMap(const YamlNode& node, const Path& path, const FieldDescriptor& field,
                Message* message) {
    if (node.type != YamlNode::Type::kMap) {
      Fail(node, path, absl::StrCat("must be a map, not ", TypeName(node)));
      return;
    }
    const FieldDescriptor& key_field = *field.message_type()->map_key();
    const FieldDescriptor& value_field = *field.message_type()->map_value();
    for (size_t i = 0; i < node.keys.size(); ++i) {
      const Path entry_path(path, node.keys[i].text);
      YamlNode key;
      key.type = YamlNode::Type::kScalar;
      key.line = node.keys[i].line;
      key.column = node.keys[i].column;
      key.scalar = node.keys[i].text;
      key.quoted = true;  // a key of `1` is the text "1" where keys are strings
      Message* entry = message->GetReflection()->AddMessage(message, &field);
      MergeValue(key, entry_path, key_field, entry);
      if (node.children[i].type == YamlNode::Type::kNull) {
        Fail(node.children[i], entry_path, "is empty");
      } else {
        MergeValue(node.children[i], entry_path, value_field, entry);
      }
    }
  }

  // One value of a singular, repeated or map-entry field.
  void MergeValue(const YamlNode& node, const Path& path, const FieldDescriptor& field,
                  Message* message) {
    const Reflection* reflection = message->GetReflection();
    const bool repeated = field.is_repeated();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Merge(node, path,
            repeated ? reflection->AddMessage(message, &field)
                     : reflection->MutableMessage(message, &field));
      return;
    }
    if (node.type != YamlNode::Type::kScalar) {
      Fail(node, path, absl::StrCat("must be ", Wanted(field), ", not ", TypeName(node)));
      return;
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING: {
        if (!node.quoted && !LooksLikeText(node.scalar)) {
          Fail(node, path,
               absl::StrCat("must be a string: put ", Quote(node.scalar), " into quotes"));
          return;
        }
        repeated ? reflection->AddString(message, &field, node.scalar)
                 : reflection->SetString(message, &field, node.scalar);
        return;
      }
      case FieldDescriptor::CPPTYPE_BOOL: {
        bool value = false;
        if (node.quoted || !ParseBool(node.scalar, &value)) {
          FailValue(node, path, field);
          return;
        }
        repeated ? reflection->AddBool(message, &field, value)
                 : reflection->SetBool(message, &field, value);
        return;
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        int64_t value = 0;
        const bool is_key = field.containing_type()->options().map_entry() && field.number() == 1;
        if ((node.quoted && !is_key) || !ParseInteger(node.scalar, &value) || value < 0 ||
            value > std::numeric_limits<uint32_t>::max()) {
          FailValue(node, path, field);
          return;
        }
        repeated ? reflection->AddUInt32(message, &field, static_cast<uint32_t>(value))
                 : reflection->SetUInt32(message, &field, static_cast<uint32_t>(value));
        return;
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        int64_t value = 0;
        if (node.quoted || !ParseInteger(node.scalar, &value)) {
          FailValue(node, path, field);
          return;
        }
        repeated ? reflection->AddInt64(message, &field, value)
                 : reflection->SetInt64(message, &field, value);
        return;
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        double value = 0;
        if (node.quoted || LooksLikeText(node.scalar) || !absl::SimpleAtod(node.scalar, &value) ||
            !std::isfinite(value)) {
          FailValue(node, path, field);
          return;
        }
        repeated ? reflection->AddDouble(message, &field, value)
                 : reflection->SetDouble(message, &field, value);
        return;
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        const EnumValueDescriptor* value = field.enum_type()->FindValueByName(node.scalar);
        if (value == nullptr) {
          FailValue(node, path, field);
          return;
        }
        repeated ? reflection->AddEnum(message, &field, value)
                 : reflection->SetEnum(message, &field, value);
        return;
      }
      default:
        Fail(node, path, "has a type that cannot be written in YAML");
        return;
    }
  }

  void FailValue(const YamlNode& node, const Path& path, const FieldDescriptor& field) {
    Fail(node, path, absl::StrCat("must be ", Wanted(field), ", not ", Quote(node.scalar)));
  }

  static std::string Wanted(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return "a string";
      case FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return "a number";
      case FieldDescriptor::CPPTYPE_ENUM: {
        std::string all;
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          absl::StrAppend(&all, all.empty() ? "one of " : ", ",
                          field.enum_type()->value(i)->name());
        }
        return all;
      }
      default:
        return "a whole number";
    }
  }

  void MergeDuration(const YamlNode& node, const Path& path, google::protobuf::Duration* out) {
    absl::Duration duration;
    if (node.type != YamlNode::Type::kScalar || node.scalar.size() > kMaxQuoted ||
        !absl::ParseDuration(node.scalar, &duration) || duration < absl::ZeroDuration() ||
        duration > absl::Hours(24 * 365 * 100)) {
      Fail(node, path, "must be a duration such as `1h`, `90s` or `500ms`");
      return;
    }
    out->set_seconds(absl::ToInt64Seconds(duration));
    out->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(out->seconds()))));
  }

  void MergeIntOrString(const YamlNode& node, const Path& path, mesh::v1alpha1::IntOrString* out) {
    int64_t number = 0;
    if (node.type != YamlNode::Type::kScalar) {
      Fail(node, path, "must be a whole number or a name");
    } else if (!node.quoted && ParseInteger(node.scalar, &number) && number >= 0 &&
               number <= std::numeric_limits<uint32_t>::max()) {
      out->set_number(static_cast<uint32_t>(number));
    } else if (!node.quoted && !LooksLikeText(node.scalar)) {
      Fail(node, path, absl::StrCat("must be a whole number or a name, not ", Quote(node.scalar)));
    } else {
      out->set_name(node.scalar);
    }
  }

  std::vector<YamlFieldError>& errors_;
};

}  // namespace

void YamlToMessage(const YamlNode& node, const std::string& path, Message* message,
                   std::vector<YamlFieldError>* errors) {
  Merger(errors).Merge(node, Path(path), message);
}

const YamlNode& FindPath(const YamlNode& root, const std::string& path) {
  const YamlNode* node = &root;
  absl::string_view rest = path;
  while (!rest.empty()) {
    const YamlNode* next = nullptr;
    if (rest.front() == '[') {
      const size_t close = rest.find(']');
      size_t index = 0;
      if (close != absl::string_view::npos && absl::SimpleAtoi(rest.substr(1, close - 1), &index) &&
          node->type == YamlNode::Type::kSequence && index < node->children.size()) {
        next = &node->children[index];
        rest.remove_prefix(close + 1);
      }
    } else {
      if (rest.front() == '.') {
        rest.remove_prefix(1);
      }
      // Keys of labels contain dots: the longest key that fits wins.
      size_t best = 0;
      for (size_t i = 0; i < node->keys.size(); ++i) {
        const std::string& key = node->keys[i].text;
        if (key.size() >= best && rest.substr(0, key.size()) == key &&
            (rest.size() == key.size() || rest[key.size()] == '.' || rest[key.size()] == '[')) {
          next = &node->children[i];
          best = key.size();
        }
      }
      rest.remove_prefix(best);
    }
    if (next == nullptr) {
      break;
    }
    node = next;
  }
  return *node;
}

}  // namespace countersign::control::registry
