// A configuration file on its whole way: text, resources, Model, compiled resources. A file is
// taken whole or not at all, and whatever is taken compiles.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "control/compile/compiler.h"
#include "control/registry/file/resource_loader.h"
#include "control/registry/model.h"

namespace {

using countersign::control::compile::Compiler;
using countersign::control::compile::kPushOrder;
using countersign::control::compile::Type;
namespace registry = countersign::control::registry;

// Compiles everything that anybody may see.
void CompileAll(std::shared_ptr<const registry::Model> model) {
  const Compiler compiler(model);
  for (const Type type : kPushOrder) {
    for (const std::string& name : compiler.Names(type)) {
      if (Compiler::IsPerProxy(type, name)) continue;
      const auto compiled = compiler.Compile(type, name, nullptr);
      // A name that is listed has a resource, and what it refers to exists as well, but for routes:
      // their backends may come later, or be granted to others.
      if (compiled == nullptr || compiled->bytes.empty()) std::abort();
      if (type == Type::kRoutes) continue;
      for (const auto& reference : compiled->references) {
        if (compiler.Compile(reference.type, reference.name, nullptr) == nullptr) std::abort();
      }
    }
  }
  for (const registry::Workload& workload : model->workloads()) {
    for (const char* name : {"inbound", "outbound"}) {
      const auto compiled = compiler.Compile(Type::kListener, name, &workload);
      if (compiled != nullptr && compiled->bytes.empty()) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  // Small limits, so that the fuzzer gets to what lies behind them too.
  const registry::YamlLimits limits{
      .max_bytes = 16 * 1024, .max_documents = 20, .max_nodes = 1000, .max_depth = 16};
  std::vector<registry::ConfigError> errors;
  const std::vector<registry::Resource> resources =
      registry::LoadResources("fuzz.yaml", text, limits, &errors);
  if (!errors.empty() && !resources.empty()) std::abort();
  if (errors.size() > registry::kMaxErrorsPerFile) std::abort();
  for (const registry::ConfigError& error : errors) {
    if (error.reason.empty()) std::abort();
    // Errors go into logs and terminals.
    for (const char c : error.ToString()) {
      if ((c >= 0 && c < 0x20) || c == 0x7f) std::abort();
    }
  }
  if (!errors.empty()) return 0;

  std::vector<const registry::Resource*> pointers;
  for (const registry::Resource& resource : resources) pointers.push_back(&resource);
  const std::shared_ptr<const registry::Model> model =
      registry::Model::Build(pointers, 1, absl::UnixEpoch(), &errors);
  if ((model == nullptr) != !errors.empty()) std::abort();
  if (model != nullptr) CompileAll(model);
  return 0;
}
