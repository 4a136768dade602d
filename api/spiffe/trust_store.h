// The trust in force, for whoever verifies: swapped as a whole, read from any thread.
#ifndef COUNTERSIGN_API_SPIFFE_TRUST_STORE_H_
#define COUNTERSIGN_API_SPIFFE_TRUST_STORE_H_

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "api/spiffe/trust.h"

namespace countersign::spiffe {

struct TrustView {
  std::shared_ptr<const BundleSet> bundles;
  std::shared_ptr<const DenyList> deny_list;
  // When the event happened that led to this view; the start of latency measurements.
  absl::Time changed_at;
};

// Thread-safe; lives as long as the server. Listeners run on the thread that made the change, after
// the new view is in force, and must not change it themselves.
class TrustStore {
 public:
  explicit TrustStore(std::shared_ptr<const BundleSet> bundles);

  TrustView view() const;
  void SetBundles(std::shared_ptr<const BundleSet> bundles, absl::Time changed_at);
  void SetDenyList(std::shared_ptr<const DenyList> deny_list, absl::Time changed_at);

  // Before the first change, or while none can happen.
  void OnChange(std::function<void()> listener) { listeners_.push_back(std::move(listener)); }

 private:
  void Tell() const;

  mutable std::mutex mutex_;
  TrustView view_;
  std::vector<std::function<void()>> listeners_;
};

}  // namespace countersign::spiffe

#endif  // COUNTERSIGN_API_SPIFFE_TRUST_STORE_H_
