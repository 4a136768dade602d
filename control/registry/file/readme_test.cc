// The examples in the manual are what the loader takes, alone and together.
#include <fstream>
#include <string>
#include <vector>

#include "control/registry/file/resource_loader.h"
#include "control/registry/model.h"
#include "gtest/gtest.h"

namespace countersign::control::registry {
namespace {

TEST(ReadmeTest, EveryKindHasAnExampleThatIsTaken) {
  std::ifstream file("api/mesh/v1alpha1/README.md");
  ASSERT_TRUE(file.good());
  std::vector<std::vector<Resource>> examples;
  std::string line, example;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line == "```yaml") {
      inside = true;
      example.clear();
    } else if (line == "```" && inside) {
      inside = false;
      std::vector<ConfigError> errors;
      examples.push_back(LoadResources("README.md", example, {}, &errors));
      for (const ConfigError& error : errors) {
        ADD_FAILURE() << error.ToString() << "\n" << example;
      }
    } else if (inside) {
      example += line + "\n";
    }
  }
  std::vector<const Resource*> all;
  std::vector<bool> kinds(static_cast<int>(Kind::kReferenceGrant) + 1);
  for (const auto& resources : examples) {
    for (const Resource& resource : resources) {
      all.push_back(&resource);
      kinds[static_cast<int>(resource.kind)] = true;
    }
  }
  for (size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_TRUE(kinds[i]) << InfoOf(static_cast<Kind>(i)).name << " has no example";
  }
  std::vector<ConfigError> errors;
  const auto model = Model::Build(all, 1, absl::UnixEpoch(), &errors);
  ASSERT_NE(model, nullptr) << (errors.empty() ? "" : errors[0].ToString());
  EXPECT_TRUE(model->ungranted().empty()) << model->ungranted()[0].ToString();
}

}  // namespace
}  // namespace countersign::control::registry
