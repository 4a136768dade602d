// YAML as a plain tree with positions, read under limits.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_FILE_YAML_TREE_H_
#define COUNTERSIGN_CONTROL_REGISTRY_FILE_YAML_TREE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::control::registry {

// One value. Lines and columns start at 1.
struct YamlNode {
  enum class Type : uint8_t { kNull, kScalar, kSequence, kMap };
  // A map's key; its value is the child of the same index.
  struct Key {
    std::string text;
    int line = 0;
    int column = 0;
  };

  Type type = Type::kNull;
  bool quoted = false;  // a scalar in quotes or a block scalar: text whatever it looks like
  int line = 0;
  int column = 0;
  std::string scalar;
  std::vector<Key> keys;           // kMap
  std::vector<YamlNode> children;  // kSequence and kMap

  // The value under `key`, or null.
  const YamlNode* Find(absl::string_view key) const;
};

struct YamlLimits {
  size_t max_bytes = 1 << 20;
  size_t max_documents = 1000;
  size_t max_nodes = 100'000;
  size_t max_depth = 32;
};

struct YamlError {
  int line = 0;
  int column = 0;
  std::string reason;
};

// The documents of `text`, empty ones left out. Anchors and aliases are refused, so that what is
// read is never larger than what was written (`billion laughs`), and so are tags and repeated keys.
// On an error `error` is filled and the answer is empty.
bool ParseYaml(absl::string_view text, const YamlLimits& limits, std::vector<YamlNode>* documents,
               YamlError* error);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_FILE_YAML_TREE_H_
