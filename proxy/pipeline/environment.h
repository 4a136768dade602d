// What all connections of a worker share: snapshots, pools, limits, counters.
#ifndef COUNTERSIGN_PROXY_PIPELINE_ENVIRONMENT_H_
#define COUNTERSIGN_PROXY_PIPELINE_ENVIRONMENT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "proxy/access_log/access_log.h"
#include "proxy/config/discovery.h"
#include "proxy/event/dispatcher.h"
#include "proxy/filter/http_shared.h"
#include "proxy/filter/overload.h"
#include "proxy/identity/secret_snapshot.h"
#include "proxy/net/local_addresses.h"
#include "proxy/pipeline/application_routes.h"
#include "proxy/pipeline/destination_routes.h"
#include "proxy/pipeline/report.h"
#include "proxy/pipeline/session.h"
#include "proxy/stats/registry.h"
#include "proxy/tls/peer_verifier.h"
#include "proxy/tls/tls_context.h"
#include "proxy/tls/tls_transport_socket.h"
#include "proxy/trace/span.h"
#include "proxy/upstream/destination_table.h"
#include "proxy/upstream/hbone_pool.h"

namespace countersign::pipeline {

struct Settings {
  std::chrono::milliseconds hold_timeout{10'000};
  std::chrono::milliseconds handshake_timeout{10'000};
  std::chrono::milliseconds connect_timeout{5'000};  // to our own application
  // How long a connection may outlive the certificate that its peer made it with.
  std::chrono::milliseconds expiry_grace{std::chrono::hours(24)};
  uint32_t max_held_connections = 1024;
  uint32_t max_connections = 65'536;
  uint32_t max_requests = 65'536;  // HTTP, at a time
  // Of bytes on their way through this worker; beyond it the newest connection is refused.
  size_t max_buffered_bytes = size_t{256} << 20;
  uint32_t max_streams_per_tunnel = 100;
  std::string workload;
  std::string workload_namespace;
  // Every port that the proxy itself listens on: never a destination on this machine.
  absl::flat_hash_set<uint16_t> own_ports;
  // Null: none is kept. Outlives the worker.
  access_log::AccessLog* access_log = nullptr;
  trace::SpanSink* span_sink = nullptr;
};

// Whoever waits for the certificate or the standing configuration.
class Held {
 public:
  virtual void OnEnvironmentChanged() = 0;

 protected:
  ~Held() = default;
};

// One a worker, on its thread.
class Environment final : private upstream::HbonePool::Observer, private upstream::PoolObserver {
 public:
  Environment(event::Dispatcher& dispatcher, Settings settings, config::Discovery& discovery,
              stats::Registry& stats);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  event::Dispatcher& dispatcher() { return dispatcher_; }
  const Settings& settings() const { return settings_; }
  Report& report() { return report_; }
  upstream::HbonePool& pool() { return pool_; }
  upstream::ClusterTable& clusters() { return clusters_; }
  upstream::DestinationTable& destinations() { return destinations_; }
  DestinationRoutes& destination_routes() { return destination_routes_; }
  ApplicationRoutes& application_routes() { return application_routes_; }
  filter::HttpShared& http() { return http_; }

  // Null until they have arrived.
  const config::ProxyConfig* config() const { return config_.get(); }
  const identity::SecretSnapshot* secret() const { return secret_.get(); }
  // Grows with each new configuration.
  uint64_t config_generation() const { return config_generation_; }
  tls::TlsOptions ClientTls(const tls::AlpnList& alpn, const spiffe::SpiffeId& expected);
  tls::TlsOptions ServerTls(const tls::AlpnList& alpn);

  void OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config);
  void OnSecret(std::shared_ptr<const identity::SecretSnapshot> secret);
  void OnDestination(const net::Address& address,
                     std::shared_ptr<const config::Destination> destination);
  // Whether a peer's certificate is still good under the snapshot in force.
  bool Denied(const spiffe::PeerSvid& peer) const;
  // For timers; 0 once it is over.
  std::chrono::milliseconds Until(absl::Time time) const;
  // How long a connection that `peer` has made may go on: to the end of its certificate and of the
  // grace behind it.
  std::chrono::milliseconds TrustLeft(const spiffe::PeerSvid& peer) const;
  std::string ExplainExpiry(const spiffe::PeerSvid& peer) const;

  // A destination that would lead back to this proxy.
  bool IsOwnListener(const net::Address& address);
  bool IsLocal(const net::IpAddress& address) {
    return local_.Contains(address, dispatcher_.now());
  }

  // False: the worker is full, and the newest (`who`) is refused; says so, and closes connections
  // that idle where that makes room.
  bool HasRoomFor(absl::string_view who);
  // A request was answered 503 because of a limit; makes room where that helps.
  void OnRequestRefused(absl::string_view limit, absl::string_view sentence);
  // A connection could not be accepted, or made, for want of a file descriptor.
  void OnNoDescriptor(absl::string_view sentence);
  void Adopt(std::unique_ptr<Session> session);
  void Remove(Session& session);
  // False: too many wait already.
  bool Hold(Held& held);
  void Unhold(Held& held);

  void StartDrain(std::function<void()> drained);
  bool draining() const { return draining_; }
  void Collect(size_t limit, std::vector<ConnectionInfo>* out) const;
  uint64_t NextId() { return ++last_id_; }

 private:
  void OnTunnelOpened(const upstream::TunnelConnection& tunnel) override;
  void OnTunnelEnded(const upstream::TunnelConnection& tunnel, const net::Address& address,
                     const spiffe::SpiffeId& expected, buffer::CloseReason reason,
                     const std::string& explanation) override;
  void OnPeerConnected(const spiffe::PeerSvid& peer) override;
  void OnPeerDisconnected(const spiffe::PeerSvid& peer) override;
  void OnHandshakeFailed(const net::Address& address, absl::string_view label,
                         absl::string_view sentence) override;
  void OnNoResources(absl::string_view sentence) override { OnNoDescriptor(sentence); }
  void ForEach(const std::function<void(Session&)>& call);
  void Unlink(Session& session);
  void ReleaseHeld();
  void CheckDrained();
  void LogAccess(const Session& session);
  void ShedIdle(absl::string_view limit, int at_most);

  event::Dispatcher& dispatcher_;
  const Settings settings_;
  Report report_;
  net::LocalAddresses local_;
  tls::PeerVerifier verifier_;
  std::shared_ptr<const config::ProxyConfig> config_;
  uint64_t config_generation_ = 0;
  std::shared_ptr<const identity::SecretSnapshot> secret_;
  std::shared_ptr<const tls::TlsContext> client_context_;
  std::shared_ptr<const tls::TlsContext> server_context_;
  upstream::HbonePool pool_;
  upstream::ClusterTable clusters_;
  upstream::DestinationTable destinations_;
  DestinationRoutes destination_routes_;
  ApplicationRoutes application_routes_;
  filter::Overload overload_;  // sessions, tunnels included, are its connections
  filter::HttpShared http_;    // has requests, which hold of all the above
  std::vector<Held*> held_;
  Session* sessions_ = nullptr;
  event::Instant shed_at_{};
  uint32_t inbound_ = 0;
  uint64_t last_id_ = 0;
  bool draining_ = false;
  std::function<void()> drained_;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_ENVIRONMENT_H_
