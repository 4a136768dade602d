// What the data path tells people: counters, and one sentence in the log for whatever is refused.
#ifndef COUNTERSIGN_PROXY_PIPELINE_REPORT_H_
#define COUNTERSIGN_PROXY_PIPELINE_REPORT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "api/net/address.h"
#include "api/spiffe/verifier.h"
#include "proxy/buffer/close_reason.h"
#include "proxy/config/inbound.h"
#include "proxy/config/outbound.h"
#include "proxy/event/clock.h"
#include "proxy/identity/secret_snapshot.h"
#include "proxy/stats/registry.h"
#include "proxy/stats/request_cells.h"
#include "proxy/upstream/destination_table.h"

namespace countersign::pipeline {

// One a worker, on its thread: its cells are this thread's. Log lines are limited to
// kLinesPerSecond, and what was left out is counted in the next one.
class Report {
 public:
  Report(stats::Registry& stats, const event::Clock& clock, std::string workload,
         std::string workload_namespace);

  void SetIdentity(const identity::SecretSnapshot& secret);

  // The cells of the traffic with a peer; `service` may be empty.
  upstream::TcpCells OutboundCells(const config::Endpoint& endpoint,
                                   const config::Cluster& cluster);
  upstream::TcpCells PassthroughCells();
  // `peer` is null for plaintext.
  const upstream::TcpCells& InboundCells(const spiffe::PeerSvid* peer);

  void OnOutboundRefused(const net::Address& client, const net::Address& destination,
                         buffer::CloseReason reason, absl::string_view sentence);
  void OnInboundRefused(const net::Address& client, uint16_t port, absl::string_view policy,
                        buffer::CloseReason reason, absl::string_view sentence);
  void OnPlaintextCaller(const net::IpAddress& caller, uint16_t port);
  void OnHandshake(bool server);
  // `label`: why; `sentence`: the same in words.
  void OnHandshakeFailed(bool server, const net::Address& peer, absl::string_view label,
                         absl::string_view sentence);
  // A connection with this certificate began or ended.
  void OnPeer(bool outbound, const spiffe::PeerSvid& peer, bool began);
  void OnTunnels(bool outbound, int change);
  void OnConnections(bool inbound, int change);
  void OnHeld(int change);
  // `limit`: `connections`, `requests`, `memory`, `held_connections`, `file_descriptors`.
  void OnOverload(absl::string_view limit, absl::string_view sentence);

  // The counters of the requests to an endpoint, for its Host to keep.
  std::unique_ptr<stats::RequestCells> OutboundRequestCells(const config::Endpoint& endpoint,
                                                            const config::Cluster& cluster);
  // Of requests that no endpoint got. `cluster` may be null.
  stats::RequestCells& UnsentRequestCells(const config::Cluster* cluster);
  // Of the requests of a peer; null for plaintext.
  std::unique_ptr<stats::RequestCells> InboundRequestCells(const spiffe::PeerSvid* peer,
                                                           const config::PortPolicy& port);
  // Something of HTTP was refused; `reason` is a metric label.
  void OnHttpRefused(bool inbound, const net::Address& client, const net::Address& destination,
                     absl::string_view reason, absl::string_view sentence);

 private:
  static constexpr int kLinesPerSecond = 20;
  bool MayLog();
  void Log(std::string line);

  stats::Registry& stats_;
  const event::Clock& clock_;
  const std::string workload_;
  const std::string workload_namespace_;
  std::string principal_;
  stats::Cell& inbound_connections_;
  stats::Cell& outbound_connections_;
  stats::Cell& held_connections_;
  absl::flat_hash_map<std::string, upstream::TcpCells> inbound_cells_;
  // By service; few: those that this pod calls.
  absl::flat_hash_map<std::string, std::unique_ptr<stats::RequestCells>> unsent_cells_;
  absl::flat_hash_map<std::string, uint32_t> peers_;  // connections by direction and certificate
  event::Instant second_{};
  int lines_ = 0;
  uint64_t suppressed_ = 0;
};

// Lower-case hex.
std::string Hex(absl::string_view bytes);

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_REPORT_H_
