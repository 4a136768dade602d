// For tests: a Model of YAML that is right.
#ifndef COUNTERSIGN_CONTROL_COMPILE_TEST_MODEL_H_
#define COUNTERSIGN_CONTROL_COMPILE_TEST_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "control/registry/file/resource_loader.h"
#include "control/registry/model.h"
#include "gtest/gtest.h"

namespace countersign::control::compile {

// Whatever is wrong with it is a failure of the test; then the answer may be null.
inline std::shared_ptr<const registry::Model> TestModel(const std::string& yaml) {
  std::vector<registry::ConfigError> errors;
  const std::vector<registry::Resource> resources =
      registry::LoadResources("test.yaml", yaml, {}, &errors);
  std::vector<const registry::Resource*> pointers;
  for (const registry::Resource& resource : resources) {
    pointers.push_back(&resource);
  }
  auto model = registry::Model::Build(pointers, 1, absl::UnixEpoch(), &errors);
  for (const registry::ConfigError& error : errors) {
    ADD_FAILURE() << error.ToString();
  }
  return model;
}

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_TEST_MODEL_H_
