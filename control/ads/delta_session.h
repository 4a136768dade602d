#ifndef COUNTERSIGN_CONTROL_ADS_DELTA_SESSION_H_
#define COUNTERSIGN_CONTROL_ADS_DELTA_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "api/xds/discovery.pb.h"
#include "control/ads/ads_metrics.h"
#include "control/ads/resource_hub.h"

namespace countersign::control::ads {

// One proxy's side of the incremental xDS protocol: who subscribes to what, what it has been sent,
// what it has acknowledged. Requests in, frames out, no socket.
//
// A resource is sent again only when its content changes; one that the proxy has refused (NACK) is
// not sent again until it changes. A name that does not exist is answered at once as removed, so
// that the proxy knows that it is unknown.
//
// Not thread-safe: under the same lock as its hub.
class DeltaSession final : public ResourceHub::Subscriber {
 public:
  struct Limits {
    // Of all types together: a destination has up to four, and a proxy up to 8192 destinations.
    size_t max_subscriptions = 50'000;
    size_t max_name_bytes = 512;
    // A proxy that acknowledges nothing is sent no more than this many responses.
    size_t max_unacknowledged = 64;
    // Responses are cut at about this size.
    size_t max_frame_bytes = 1 << 20;
  };

  // A DeltaDiscoveryResponse in pieces: `head` is everything but the resources, which are shared
  // by all streams and never copied.
  struct Frame {
    std::string head;
    std::vector<std::shared_ptr<const compile::Compiled>> resources;
  };

  // `proxy` is the workload's `namespace/name`, `label` names the peer in log lines. `hub` and
  // `metrics` outlive the session.
  DeltaSession(std::string proxy, std::string label, Limits limits, ResourceHub& hub,
               AdsMetrics& metrics);
  ~DeltaSession() override;

  // Errors end the stream; the message says to the proxy's operator what is wrong.
  absl::Status OnRequest(const envoy::service::discovery::v3::DeltaDiscoveryRequest& request,
                         absl::Time now);
  // After every new Model: wildcard subscriptions follow the names that there are.
  void OnModel();
  void OnResourceChanged(compile::Type type, const std::string& name, absl::Time event) override;

  // The next response, in the order that keeps references whole: clusters, endpoints, listeners,
  // routes, then removals in reverse. Nothing when there is nothing to say, or too little is
  // acknowledged.
  std::optional<Frame> NextFrame();

  const std::string& proxy() const { return proxy_; }
  size_t subscriptions() const;

 private:
  struct Subscription {
    std::shared_ptr<const compile::Compiled> sent;
    std::string known_version;  // what the proxy said that it has from an earlier stream
    bool pending = false;
    bool answered = false;                      // with `sent`, or with `removed` where that is null
    bool wildcard = false;                      // only because of the wildcard
    absl::Time event = absl::InfiniteFuture();  // of the change that made it pending
  };
  struct TypeState {
    bool seen = false;  // a request of this type has been received
    bool wildcard = false;
    absl::flat_hash_map<std::string, Subscription> subscriptions;
    absl::flat_hash_map<std::string, std::string> initial_versions;
    std::vector<std::string> pending;  // names, in order of arrival; may repeat
  };
  struct Outstanding {
    compile::Type type;
    absl::Time event;
  };

  TypeState& state(compile::Type type) { return types_[static_cast<int>(type)]; }
  absl::Status Subscribe(compile::Type type, const std::string& name, bool explicit_request,
                         bool wildcard);
  void Unsubscribe(compile::Type type, const std::string& name);
  void SyncWildcard(compile::Type type);
  absl::Status FollowReferences(const compile::Compiled& compiled);
  void MarkPending(compile::Type type, const std::string& name, absl::Time event);
  void OnAcknowledgement(const envoy::service::discovery::v3::DeltaDiscoveryRequest& request,
                         compile::Type type, absl::Time now);
  std::optional<Frame> BuildFrame(compile::Type type, bool resources, bool removals);

  const std::string proxy_;
  const std::string label_;
  const Limits limits_;
  ResourceHub& hub_;
  AdsMetrics& metrics_;
  bool follow_references_ = false;
  bool first_request_ = true;
  TypeState types_[compile::kTypeCount];
  absl::flat_hash_map<uint64_t, Outstanding> outstanding_;
  uint64_t last_nonce_ = 0;
  std::string last_nack_;
};

}  // namespace countersign::control::ads

#endif  // COUNTERSIGN_CONTROL_ADS_DELTA_SESSION_H_
