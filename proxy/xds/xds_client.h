#ifndef COUNTERSIGN_PROXY_XDS_XDS_CLIENT_H_
#define COUNTERSIGN_PROXY_XDS_XDS_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "api/net/address.h"
#include "api/spiffe/spiffe_id.h"
#include "proxy/config/discovery.h"
#include "proxy/event/dispatcher.h"
#include "proxy/identity/control_stream.h"
#include "proxy/identity/secret_snapshot.h"
#include "proxy/stats/registry.h"
#include "proxy/xds/resource_store.h"

namespace countersign::xds {

struct XdsClientOptions {
  std::string node_id;          // `NAMESPACE/NAME` of the workload; empty: known by its SVID alone
  spiffe::SpiffeId control_id;  // what the control plane must prove
  // Uniform in [0, 1): jitter.
  std::function<double()> random;
  std::chrono::milliseconds backoff_base{200};
  std::chrono::milliseconds backoff_cap{10'000};
  // A stream that has answered nothing for this long is given up.
  std::chrono::milliseconds answer_timeout{15'000};
  // A destination that was not used for this long is forgotten.
  std::chrono::milliseconds idle{600'000};
  std::chrono::milliseconds sweep{5'000};
  // Beyond this many the one that was used least recently is forgotten.
  size_t max_destinations = 8192;
};

// The configuration of this proxy: keeps a stream to the control plane open with the certificate in
// force, subscribes to what workers ask for, acknowledges or refuses what arrives, and tells the
// sinks. While the control plane is away everything stays in force; it is tried again with full
// jitter. A new certificate opens a new stream beside the old one, which goes once the new one has
// answered.
//
// Thread: main, but Subscribe and Touch, which any thread may call. Lifetime: outlives the workers;
// the dispatcher, the dialer, the stats and the sinks outlive it.
class XdsClient final : public config::Discovery, public identity::SecretSink {
 public:
  XdsClient(XdsClientOptions options, identity::ControlDialer& dialer,
            event::Dispatcher& dispatcher, stats::Registry& stats);
  ~XdsClient() override;

  // At any time: what is in force is told at once.
  void AddSink(config::ConfigSink* sink);

  // The first secret opens the first stream.
  void OnSecret(std::shared_ptr<const identity::SecretSnapshot> secret) override;

  void Subscribe(const net::Address& original_destination) override;
  void Touch(const net::Address& original_destination) override;

  // For pages. Connected: a stream that has answered is open.
  bool connected() const;
  // Why there is no connection; empty when there is one.
  const std::string& last_error() const { return last_error_; }
  const ResourceStore& resources() const { return store_; }

 private:
  class Session;  // one stream
  struct Inbox;   // what other threads ask for

  static void DrainInbox(const std::shared_ptr<Inbox>& inbox);
  void OnWanted(const net::Address& destination);
  void OpenSession();
  // The session calls these.
  void OnSessionAnswered(Session* session);
  void OnSessionClosed(Session* session, const absl::Status& status);
  void OnUpdated();

  void ScheduleRetry();
  void Sweep();
  void EvictBeyondLimit();
  void Forget(const std::vector<net::Address>& destinations);
  void ForEachSession(const std::function<void(Session&)>& call);

  const XdsClientOptions options_;
  identity::ControlDialer& dialer_;
  event::Dispatcher& dispatcher_;
  stats::Registry& stats_;
  stats::Cell& connected_gauge_;
  stats::Cell& subscriptions_gauge_;

  ResourceStore store_;
  absl::flat_hash_map<net::Address, event::Instant> last_used_;
  std::shared_ptr<const identity::SecretSnapshot> secret_;
  std::unique_ptr<Session> current_;  // has answered
  std::unique_ptr<Session> next_;     // is opening
  uint32_t failures_ = 0;
  std::string last_error_ = "no certificate yet";
  event::Timer retry_timer_;
  event::Timer answer_timer_;
  event::Timer sweep_timer_;
  std::shared_ptr<Inbox> inbox_;
};

}  // namespace countersign::xds

#endif  // COUNTERSIGN_PROXY_XDS_XDS_CLIENT_H_
