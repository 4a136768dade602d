#include "control/registry/file/resource_loader.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "control/registry/checks.h"
#include "control/registry/file/yaml_message.h"

namespace countersign::control::registry {
namespace {

class Loader {
 public:
  Loader(const std::string& file, std::vector<ConfigError>* errors)
      : file_(file), errors_(*errors) {}

  void Load(const YamlNode& document) {
    Location at{file_, document.line, document.column};
    if (document.type != YamlNode::Type::kMap) {
      Fail(at, "", "", "must be a resource: apiVersion, kind, metadata, spec");
      return;
    }
    const YamlNode* items = document.Find("items");
    const YamlNode* kind = document.Find("kind");
    if (kind != nullptr && kind->scalar == "List" && items != nullptr &&
        items->type == YamlNode::Type::kSequence) {
      for (const YamlNode& item : items->children) {
        Load(item);
      }
      return;
    }
    const std::string kind_name = Text(document, "kind");
    const std::string api_version = Text(document, "apiVersion");
    if (kind_name.empty() || api_version.empty()) {
      Fail(at, "", kind_name.empty() ? "kind" : "apiVersion", "is required");
      return;
    }
    const KindInfo* info = FindKind(api_version, kind_name);
    if (info == nullptr) {
      Fail(At(*kind), "", "kind",
           absl::StrCat("`", kind_name.substr(0, 64), "` of `", api_version.substr(0, 64),
                        "` is no kind that we read; there are: ", KnownKinds()));
      return;
    }

    Resource resource;
    resource.kind = info->kind;
    resource.location = at;
    std::unique_ptr<google::protobuf::Message> spec(info->spec->New());
    std::vector<YamlFieldError> field_errors;
    for (size_t i = 0; i < document.keys.size(); ++i) {
      const YamlNode::Key& key = document.keys[i];
      const YamlNode& value = document.children[i];
      if (key.text == "metadata") {
        YamlToMessage(value, "metadata", &resource.metadata, &field_errors);
      } else if (key.text == "spec") {
        if (value.type != YamlNode::Type::kNull) {
          YamlToMessage(value, "spec", spec.get(), &field_errors);
        }
      } else if (key.text != "kind" && key.text != "apiVersion" && key.text != "status") {
        field_errors.push_back({key.line, key.column, key.text.substr(0, 64),
                                "unknown field; there are: apiVersion, kind, metadata, spec"});
      }
    }
    if (resource.metadata.namespace_().empty()) {
      resource.metadata.set_namespace_(info->root_namespace_only ? kRootNamespace : "default");
    }
    resource.spec = std::move(spec);
    const std::string id =
        absl::StrCat(info->name, "/", resource.metadata.namespace_().substr(0, 64), "/",
                     resource.metadata.name().substr(0, 64));
    for (YamlFieldError& e : field_errors) {
      Fail({file_, e.line, e.column}, id, std::move(e.field), std::move(e.reason));
    }
    if (field_errors.empty()) {
      for (FieldError& e : CheckResource(resource)) {
        Location field_at = At(FindPath(document, e.field));
        Fail(std::move(field_at), id, std::move(e.field), std::move(e.reason));
      }
    }
    resources_.push_back(std::move(resource));
  }

  std::vector<Resource> Take() {
    return errors_.empty() ? std::move(resources_) : std::vector<Resource>();
  }

 private:
  static std::string Text(const YamlNode& document, absl::string_view key) {
    const YamlNode* node = document.Find(key);
    return node != nullptr && node->type == YamlNode::Type::kScalar ? node->scalar : "";
  }
  Location At(const YamlNode& node) const { return {file_, node.line, node.column}; }

  void Fail(Location at, const std::string& resource, std::string field, std::string reason) {
    if (errors_.size() < kMaxErrorsPerFile) {
      errors_.push_back({std::move(at), resource, std::move(field), std::move(reason)});
    }
  }

  const std::string& file_;
  std::vector<ConfigError>& errors_;
  std::vector<Resource> resources_;
};

}  // namespace

std::vector<Resource> LoadResources(const std::string& file, absl::string_view text,
                                    const YamlLimits& limits, std::vector<ConfigError>* errors) {
  errors->clear();
  std::vector<YamlNode> documents;
  YamlError yaml_error;
  if (!ParseYaml(text, limits, &documents, &yaml_error)) {
    errors->push_back({{file, yaml_error.line, yaml_error.column}, "", "", yaml_error.reason});
    return {};
  }
  Loader loader(file, errors);
  for (const YamlNode& document : documents) {
    loader.Load(document);
  }
  return loader.Take();
}

}  // namespace countersign::control::registry
