#include "proxy/pipeline/report.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proxy/stats/families.h"

namespace countersign::pipeline {

using buffer::CloseReason;
using upstream::TcpCells;

namespace {

constexpr char kSource[] = "source";
constexpr char kDestination[] = "destination";
constexpr char kMutualTls[] = "mutual_tls";
constexpr char kNone[] = "none";
// Peers whose series are remembered; beyond it the registry's own cap speaks.
constexpr size_t kMaxRemembered = 4096;

// Gauges count with unsigned cells: a fall is a Sub.
void Change(stats::Cell& cell, int change) {
  if (change >= 0) {
    cell.Add(static_cast<uint64_t>(change));
  } else {
    cell.Sub(static_cast<uint64_t>(-change));
  }
}

}  // namespace

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

Report::Report(stats::Registry& stats, const event::Clock& clock, std::string workload,
               std::string workload_namespace)
    : stats_(stats),
      clock_(clock),
      workload_(std::move(workload)),
      workload_namespace_(std::move(workload_namespace)),
      inbound_connections_(stats.Get(stats::kConnectionsActive, {"inbound"})),
      outbound_connections_(stats.Get(stats::kConnectionsActive, {"outbound"})),
      held_connections_(stats.Get(stats::kConnectionsHeld, {})) {}

void Report::SetIdentity(const identity::SecretSnapshot& secret) {
  if (principal_ == secret.id.ToString()) return;
  principal_ = secret.id.ToString();
  inbound_cells_.clear();
  unsent_cells_.clear();
}

TcpCells Report::OutboundCells(const config::Endpoint& endpoint, const config::Cluster& cluster) {
  const bool tls = endpoint.transport != config::EndpointTransport::kPlaintext;
  const auto cell = [&](const stats::Family& family) {
    return &stats_.Get(family,
                       {kSource, workload_, workload_namespace_, principal_, endpoint.workload,
                        endpoint.workload_namespace, endpoint.identity.ToString(), cluster.service,
                        cluster.service_namespace, tls ? kMutualTls : kNone});
  };
  return {cell(stats::kTcpOpened), cell(stats::kTcpClosed), cell(stats::kTcpSent),
          cell(stats::kTcpReceived)};
}

TcpCells Report::PassthroughCells() {
  const auto cell = [&](const stats::Family& family) {
    return &stats_.Get(family, {kSource, workload_, workload_namespace_, principal_, "unknown",
                                "unknown", "unknown", "PassthroughCluster", "", kNone});
  };
  return {cell(stats::kTcpOpened), cell(stats::kTcpClosed), cell(stats::kTcpSent),
          cell(stats::kTcpReceived)};
}

const TcpCells& Report::InboundCells(const spiffe::PeerSvid* peer) {
  const std::string id = peer == nullptr ? "unknown" : peer->id.ToString();
  if (const auto it = inbound_cells_.find(id); it != inbound_cells_.end()) return it->second;
  if (inbound_cells_.size() >= kMaxRemembered) inbound_cells_.clear();
  const auto cell = [&](const stats::Family& family) {
    return &stats_.Get(
        family, {kDestination, "unknown", "unknown", id, workload_, workload_namespace_, principal_,
                 "unknown", "unknown", peer == nullptr ? kNone : kMutualTls});
  };
  return inbound_cells_
      .emplace(id, TcpCells{cell(stats::kTcpOpened), cell(stats::kTcpClosed), cell(stats::kTcpSent),
                            cell(stats::kTcpReceived)})
      .first->second;
}

std::unique_ptr<stats::RequestCells> Report::OutboundRequestCells(const config::Endpoint& endpoint,
                                                                  const config::Cluster& cluster) {
  const bool tls = endpoint.transport != config::EndpointTransport::kPlaintext;
  return std::make_unique<stats::RequestCells>(
      stats_,
      stats::RequestLabels{kSource, workload_, workload_namespace_, principal_, endpoint.workload,
                           endpoint.workload_namespace, endpoint.identity.ToString(),
                           cluster.service, cluster.service_namespace, tls ? kMutualTls : kNone});
}

stats::RequestCells& Report::UnsentRequestCells(const config::Cluster* cluster) {
  const absl::string_view unknown = "unknown";
  const absl::string_view service =
      cluster == nullptr ? unknown : absl::string_view(cluster->service);
  const absl::string_view ns =
      cluster == nullptr ? unknown : absl::string_view(cluster->service_namespace);
  std::unique_ptr<stats::RequestCells>& cells = unsent_cells_[absl::StrCat(ns, "/", service)];
  if (cells == nullptr) {
    cells = std::make_unique<stats::RequestCells>(
        stats_, stats::RequestLabels{kSource, workload_, workload_namespace_, principal_, "unknown",
                                     "unknown", "unknown", service, ns, kNone});
  }
  return *cells;
}

std::unique_ptr<stats::RequestCells> Report::InboundRequestCells(const spiffe::PeerSvid* peer,
                                                                 const config::PortPolicy& port) {
  const absl::string_view unknown = "unknown";
  return std::make_unique<stats::RequestCells>(
      stats_, stats::RequestLabels{
                  kDestination, unknown, unknown,
                  peer == nullptr ? unknown : absl::string_view(peer->id.ToString()), workload_,
                  workload_namespace_, principal_,
                  port.service.empty() ? unknown : absl::string_view(port.service),
                  port.service.empty() ? unknown : absl::string_view(port.service_namespace),
                  peer == nullptr ? kNone : kMutualTls});
}

void Report::OnHttpRefused(bool inbound, const net::Address& client,
                           const net::Address& destination, absl::string_view reason,
                           absl::string_view sentence) {
  stats_.Get(stats::kHttpRefused, {inbound ? "inbound" : "outbound", reason}).Add(1);
  if (!MayLog()) return;
  Log(absl::StrCat("refused HTTP of ", client.ToString(), " to ", destination.ToString(), ": ",
                   sentence));
}

bool Report::MayLog() {
  const event::Instant now = clock_.Monotonic();
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    lines_ = 0;
  }
  if (++lines_ <= kLinesPerSecond) return true;
  ++suppressed_;
  return false;
}

void Report::Log(std::string line) {
  if (suppressed_ > 0) {
    absl::StrAppend(&line, " (", std::exchange(suppressed_, 0), " similar lines were left out)");
  }
  spdlog::warn("{}", line);
}

void Report::OnOutboundRefused(const net::Address& client, const net::Address& destination,
                               CloseReason reason, absl::string_view sentence) {
  stats_.Get(stats::kOutboundRefused, {buffer::CloseReasonLabel(reason), destination.ToString()})
      .Add(1);
  if (!MayLog()) return;
  Log(absl::StrCat("refused the connection of ", client.ToString(), " to ", destination.ToString(),
                   ": ", sentence.empty() ? buffer::CloseReasonSentence(reason) : sentence));
}

void Report::OnInboundRefused(const net::Address& client, uint16_t port, absl::string_view policy,
                              CloseReason reason, absl::string_view sentence) {
  stats_
      .Get(stats::kInboundRefused,
           {buffer::CloseReasonLabel(reason), client.ip().ToString(), absl::StrCat(port), policy})
      .Add(1);
  if (!MayLog()) return;
  Log(absl::StrCat("refused the connection of ", client.ToString(), " to port ", port, ": ",
                   sentence.empty() ? buffer::CloseReasonSentence(reason) : sentence));
}

void Report::OnPlaintextCaller(const net::IpAddress& caller, uint16_t port) {
  stats_.Get(stats::kPlaintextCallers, {caller.ToString(), absl::StrCat(port)}).Add(1);
}

void Report::OnHandshake(bool server) {
  stats_.Get(stats::kTlsHandshakes, {server ? "server" : "client"}).Add(1);
}

void Report::OnHandshakeFailed(bool server, const net::Address& peer, absl::string_view label,
                               absl::string_view sentence) {
  stats_.Get(stats::kTlsHandshakeFailures, {server ? "server" : "client", label}).Add(1);
  if (!MayLog()) return;
  Log(absl::StrCat("TLS handshake ", server ? "from " : "to ", peer.ToString(),
                   " failed: ", sentence));
}

void Report::OnPeer(bool outbound, const spiffe::PeerSvid& peer, bool began) {
  const std::string key = absl::StrCat(outbound ? "o" : "i", peer.digest);
  const std::string serial = Hex(peer.serial);
  const std::initializer_list<absl::string_view> labels = {outbound ? kSource : kDestination,
                                                           peer.id.ToString(), serial};
  auto it = peers_.find(key);
  if (it == peers_.end()) {
    if (!began || peers_.size() >= kMaxRemembered) return;
    it = peers_.emplace(key, 0).first;
    stats_.Get(stats::kPeerCertificateNotAfter, labels)
        .Set(static_cast<uint64_t>(absl::ToUnixSeconds(peer.not_after)));
  }
  it->second += began ? 1 : -1;
  if (it->second > 0) return;
  // No connection has this certificate any more.
  stats_.Release(stats::kPeerCertificateNotAfter, labels);
  peers_.erase(it);
}

void Report::OnTunnels(bool outbound, int change) {
  Change(stats_.Get(stats::kTunnels, {outbound ? "outbound" : "inbound"}), change);
}

void Report::OnConnections(bool inbound, int change) {
  Change(inbound ? inbound_connections_ : outbound_connections_, change);
}

void Report::OnHeld(int change) { Change(held_connections_, change); }

void Report::OnOverload(absl::string_view limit, absl::string_view sentence) {
  stats_.Get(stats::kOverload, {limit}).Add(1);
  if (MayLog()) Log(std::string(sentence));
}

}  // namespace countersign::pipeline
