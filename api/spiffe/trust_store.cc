#include "api/spiffe/trust_store.h"

namespace countersign::spiffe {

TrustStore::TrustStore(std::shared_ptr<const BundleSet> bundles) {
  view_.bundles = std::move(bundles);
  view_.deny_list = std::make_shared<const DenyList>();
  view_.changed_at = absl::Now();
}

TrustView TrustStore::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

void TrustStore::SetBundles(std::shared_ptr<const BundleSet> bundles, absl::Time changed_at) {
  {
    const std::lock_guard lock(mutex_);
    view_.bundles = std::move(bundles);
    view_.changed_at = changed_at;
  }
  Tell();
}

void TrustStore::SetDenyList(std::shared_ptr<const DenyList> deny_list, absl::Time changed_at) {
  {
    const std::lock_guard lock(mutex_);
    view_.deny_list = std::move(deny_list);
    view_.changed_at = changed_at;
  }
  Tell();
}

void TrustStore::Tell() const {
  for (const auto& listener : listeners_) listener();
}

}  // namespace countersign::spiffe
