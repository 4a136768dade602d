#ifndef COUNTERSIGN_CONTROL_REGISTRY_FILE_LAST_GOOD_H_
#define COUNTERSIGN_CONTROL_REGISTRY_FILE_LAST_GOOD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace countersign::control::registry {

// What each configuration file said when it was last good, kept on disk, so that a control plane
// that restarts while a file is bad goes on with what was in force instead of with nothing.
//
// Not thread-safe.
class LastGood {
 public:
  // An empty `directory` keeps nothing. It is made (0700) when it is first needed.
  explicit LastGood(std::string directory) : directory_(std::move(directory)) {}

  // Atomically: whoever reads finds the old content or the new.
  absl::Status Save(const std::string& name, absl::string_view text);
  absl::optional<std::string> Load(const std::string& name, size_t max_bytes) const;
  void Forget(const std::string& name);

 private:
  std::string PathOf(const std::string& name) const { return directory_ + "/" + name; }

  const std::string directory_;
};

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_FILE_LAST_GOOD_H_
