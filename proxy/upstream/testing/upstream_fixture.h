// One worker's upstream side on the test's thread: event loop, clusters, certificates.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_TESTING_UPSTREAM_FIXTURE_H_
#define COUNTERSIGN_PROXY_UPSTREAM_TESTING_UPSTREAM_FIXTURE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/spiffe/testing/test_authority.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/http/testing/recorders.h"
#include "proxy/upstream/cluster_table.h"
#include "proxy/upstream/testing/test_server.h"

namespace countersign::upstream::testing {

inline constexpr char kOurId[] = "spiffe://cluster.local/ns/default/sa/ours";
inline constexpr char kTheirId[] = "spiffe://cluster.local/ns/default/sa/theirs";

// Real sockets on a clock that moves by hand.
class UpstreamFixture : public ::testing::Test, private HbonePool::Observer, private PoolObserver {
 protected:
  // A request without body that waits for a stream, sends itself, and writes down what comes.
  struct Request final : HttpStreamRequest {
    ~Request() {
      if (call.stream != nullptr) call.stream->Reset();
    }
    http::Protocol downstream_protocol() const override { return downstream; }
    http::ClientStream::Handler& stream_handler() override { return call; }
    void OnStreamReady(http::ClientStream& stream, const UpstreamConnectionInfo& info) override;
    void OnStreamFailed(PoolFailure why, buffer::CloseReason how, const std::string& text) override;
    // Lets go of the stream.
    void Reset();

    http::Protocol downstream = http::Protocol::kHttp11;
    http::testing::Call call;
    bool ready = false;
    bool reused = false;
    bool failed = false;
    PoolFailure failure{};
    buffer::CloseReason reason{};
    std::string explanation;
    http::Protocol protocol{};
    std::string peer;
  };

  UpstreamFixture();
  ~UpstreamFixture() override;

  static std::shared_ptr<const identity::SecretSnapshot> SecretOf(
      const spiffe::testing::TestAuthority& authority, const std::string& id, absl::Time not_after);
  // A certificate for the pools.
  void SetSecret(absl::Duration life = absl::Hours(1));
  // TLS options of a mesh endpoint.
  std::function<tls::TlsOptions()> ServerTls(const std::string& id = kTheirId,
                                             const char* alpn = "countersign-h2");

  config::Endpoint PlainEndpoint(const net::Address& address);
  config::Endpoint MeshEndpoint(const net::Address& address, const std::string& id = kTheirId);
  // A cluster with defaults, named `echo`.
  std::shared_ptr<config::Cluster> ClusterOf(std::vector<config::Endpoint> endpoints);
  Cluster& Use(std::shared_ptr<const config::Cluster> config);

  // Turns the loop until `done`, for ten seconds of real time at most.
  bool RunUntil(const std::function<bool()>& done);
  // Until nothing more comes.
  void Settle();
  void Advance(std::chrono::milliseconds by);
  // Sends to the host that the cluster chooses.
  std::unique_ptr<Request> Send(Cluster& cluster,
                                http::Protocol downstream = http::Protocol::kHttp11);
  // And waits for its answer or failure.
  std::unique_ptr<Request> Get(Cluster& cluster,
                               http::Protocol downstream = http::Protocol::kHttp11);
  static uint32_t Count(Cluster& cluster, CircuitBreakers::Kind kind);

  void OnTunnelOpened(const TunnelConnection&) override {}
  void OnTunnelEnded(const TunnelConnection&, const net::Address&, const spiffe::SpiffeId&,
                     buffer::CloseReason, const std::string&) override {}
  void OnPeerConnected(const spiffe::PeerSvid&) override { ++peers; }
  void OnPeerDisconnected(const spiffe::PeerSvid&) override { --peers; }
  void OnHandshakeFailed(const net::Address&, absl::string_view label,
                         absl::string_view sentence) override {
    handshake_failures.push_back(std::string(label) + ": " + std::string(sentence));
  }
  void OnNoResources(absl::string_view) override {}

  spiffe::testing::TestAuthority authority_{"cluster.local"};
  event::SimulatedClock clock_{absl::Now()};
  event::Dispatcher dispatcher_{clock_};
  stats::Registry stats_;
  tls::PeerVerifier verifier_;
  tls::PeerVerifier server_verifier_;
  HbonePool tunnels_;
  ClusterTable table_;
  ClusterRef cluster_;
  int peers = 0;
  std::vector<std::string> handshake_failures;
};

}  // namespace countersign::upstream::testing

#endif  // COUNTERSIGN_PROXY_UPSTREAM_TESTING_UPSTREAM_FIXTURE_H_
