#ifndef COUNTERSIGN_CONTROL_COMPILE_COMPILER_H_
#define COUNTERSIGN_CONTROL_COMPILE_COMPILER_H_

#include <memory>
#include <string>
#include <vector>

#include "control/compile/resource.h"
#include "control/registry/model.h"

namespace countersign::control::compile {

// From a Model to resources, one at a time and by name, so that what nobody asks for costs nothing.
// A pure function of the Model: equal Models give equal bytes.
class Compiler {
 public:
  explicit Compiler(std::shared_ptr<const registry::Model> model) : model_(std::move(model)) {}

  // Whether what has this name differs from proxy to proxy, or from one namespace's proxies to
  // another's; all others are shared by all.
  static bool IsPerProxy(Type type, const std::string& name);
  static bool IsPerNamespace(Type type, const std::string& name);
  // Whether what is IsPerNamespace is for proxies of `ns` another than for most: they have routes
  // of their own for a Service of another namespace.
  bool DiffersFor(absl::string_view ns, const std::string& name) const;

  // The resource of this name as `self` may see it, or null if there is none. `self` may be null
  // unless IsPerProxy. `caller_ns` is for what IsPerNamespace; empty: as most see it.
  std::shared_ptr<const Compiled> Compile(Type type, const std::string& name,
                                          const registry::Workload* self,
                                          const std::string& caller_ns = {}) const;

  // Every name of `type` that a proxy may see: the answer to a wildcard subscription, as Envoy
  // makes it.
  std::vector<std::string> Names(Type type) const;

  const registry::Model& model() const { return *model_; }

 private:
  std::shared_ptr<const registry::Model> model_;
};

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_COMPILER_H_
