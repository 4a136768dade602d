// YAML into any protobuf message, by its descriptor: a new kind costs no parser.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_FILE_YAML_MESSAGE_H_
#define COUNTERSIGN_CONTROL_REGISTRY_FILE_YAML_MESSAGE_H_

#include <string>
#include <vector>

#include "control/registry/file/yaml_tree.h"
#include "google/protobuf/message.h"

namespace countersign::control::registry {

struct YamlFieldError {
  int line = 0;
  int column = 0;
  std::string field;  // `spec.ports[0].port`
  std::string reason;
};

// Merges `node` into `message`. Strict, as kubectl is: names are protobuf's JSON names; unknown
// fields, wrong types, values out of range and unknown enum values are errors, and a plain scalar
// is a number, a boolean or a text as YAML 1.1 says, so that `version: 1.0` is no string. Durations
// are written `1h30m`, `90s`, `500ms`. Null leaves a field unset. `path` is the name of `node`.
void YamlToMessage(const YamlNode& node, const std::string& path,
                   google::protobuf::Message* message, std::vector<YamlFieldError>* errors);

// Where `path` (as in YamlFieldError::field) stands below `root`, or the nearest that exists.
const YamlNode& FindPath(const YamlNode& root, const std::string& path);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_FILE_YAML_MESSAGE_H_
