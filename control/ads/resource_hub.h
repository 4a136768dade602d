#ifndef COUNTERSIGN_CONTROL_ADS_RESOURCE_HUB_H_
#define COUNTERSIGN_CONTROL_ADS_RESOURCE_HUB_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/time/time.h"
#include "control/compile/compiler.h"
#include "control/compile/resource.h"

namespace countersign::control::ads {

// The compiled resources that somebody subscribes to, each compiled once for all of them. A new
// Model recompiles these and tells only the subscribers of those whose content has changed.
//
// Not thread-safe: its owner holds one lock around it and all sessions.
class ResourceHub {
 public:
  struct Key {
    compile::Type type;
    std::string name;
    // Who sees it so: a proxy (`namespace/name`), the proxies of a namespace, or (empty) all.
    std::string viewer;

    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.type, key.name, key.viewer);
    }
  };

  class Subscriber {
   public:
    virtual ~Subscriber() = default;
    // The content under `type` and `name` is another than before, because of what was noticed at
    // `event`. May subscribe and unsubscribe.
    virtual void OnResourceChanged(compile::Type type, const std::string& name,
                                   absl::Time event) = 0;
  };

  // Null before the first Model.
  const compile::Compiler* compiler() const { return compiler_.get(); }
  void SetModel(std::shared_ptr<const registry::Model> model);

  // The key under which the proxy of workload `proxy` sees `name`.
  static Key KeyFor(compile::Type type, std::string name, const std::string& proxy);

  // What is there now; null if there is nothing of this name. From here on `subscriber` is told of
  // changes, until it unsubscribes, which it does before it dies.
  std::shared_ptr<const compile::Compiled> Subscribe(const Key& key, Subscriber* subscriber);
  void Unsubscribe(const Key& key, Subscriber* subscriber);
  // Of a key that somebody subscribes to.
  std::shared_ptr<const compile::Compiled> Get(const Key& key) const;

  // Every name of `type`, for wildcard subscriptions; computed once for each Model.
  const std::vector<std::string>& Names(compile::Type type);

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::shared_ptr<const compile::Compiled> current;
    absl::flat_hash_set<Subscriber*> subscribers;
  };

  std::shared_ptr<const compile::Compiled> Compile(const Key& key);

  std::unique_ptr<const compile::Compiler> compiler_;
  // What may differ from namespace to namespace, as most see it; by name, of this Model.
  absl::flat_hash_map<std::string, std::shared_ptr<const compile::Compiled>> common_;
  absl::node_hash_map<Key, Entry> entries_;
  std::vector<std::string> names_[compile::kTypeCount];
  bool names_known_[compile::kTypeCount] = {};
};

}  // namespace countersign::control::ads

#endif  // COUNTERSIGN_CONTROL_ADS_RESOURCE_HUB_H_
