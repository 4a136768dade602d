// The seam under the Model: a folder of YAML, or Kubernetes' list and watch.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_SOURCE_H_
#define COUNTERSIGN_CONTROL_REGISTRY_SOURCE_H_

#include <functional>
#include <memory>
#include <vector>

#include "control/registry/kind.h"
#include "control/registry/model.h"

namespace countersign::control::registry {

class RegistrySource {
 public:
  using Listener = std::function<void(std::shared_ptr<const Model>)>;

  virtual ~RegistrySource() = default;

  // The Model in force; null until there has been a valid one. Thread-safe.
  virtual std::shared_ptr<const Model> Current() const = 0;
  // What is wrong at present, worst news first by file and line. The Model in force does not
  // contain it, unless it says so. Thread-safe.
  virtual std::vector<ConfigError> Errors() const = 0;
  // `listener` is called with every Model that comes into force: the first one inside the source's
  // start, later ones on the source's own thread. Call this before the start.
  virtual void Subscribe(Listener listener) = 0;
};

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_SOURCE_H_
