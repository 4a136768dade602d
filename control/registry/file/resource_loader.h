// One file's text into resources.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_FILE_RESOURCE_LOADER_H_
#define COUNTERSIGN_CONTROL_REGISTRY_FILE_RESOURCE_LOADER_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "control/registry/file/yaml_tree.h"
#include "control/registry/kind.h"

namespace countersign::control::registry {

// At most this many errors are kept for one file.
inline constexpr size_t kMaxErrorsPerFile = 100;

// Every resource of `text`, or, when anything at all is wrong, every error (at most
// kMaxErrorsPerFile) and no resource. Pure.
std::vector<Resource> LoadResources(const std::string& file, absl::string_view text,
                                    const YamlLimits& limits, std::vector<ConfigError>* errors);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_FILE_RESOURCE_LOADER_H_
