// Prints what YAML files compile to: `bazel run //control/compile:print_resources -- FILE...`. The
// golden files are made with it.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "control/compile/resource_printer.h"
#include "control/registry/file/resource_loader.h"

int main(int argc, char** argv) {
  using namespace countersign::control;  // NOLINT: a main of twenty lines
  std::vector<std::vector<registry::Resource>> files;
  std::vector<registry::ConfigError> errors;
  for (int i = 1; i < argc; ++i) {
    std::ifstream in(argv[i]);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::vector<registry::ConfigError> file_errors;
    files.push_back(registry::LoadResources(argv[i], text, {}, &file_errors));
    errors.insert(errors.end(), file_errors.begin(), file_errors.end());
  }
  std::vector<const registry::Resource*> resources;
  for (const auto& file : files) {
    for (const registry::Resource& resource : file) {
      resources.push_back(&resource);
    }
  }
  const auto model = registry::Model::Build(resources, 1, absl::UnixEpoch(), &errors);
  for (const registry::ConfigError& error : errors) {
    std::cerr << error.ToString() << "\n";
  }
  if (!errors.empty()) {
    return 1;
  }
  std::cout << compile::PrintResources(model);
  return 0;
}
