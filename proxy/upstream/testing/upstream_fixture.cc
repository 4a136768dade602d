#include "proxy/upstream/testing/upstream_fixture.h"

#include <chrono>
#include <thread>
#include <utility>

namespace countersign::upstream::testing {

void UpstreamFixture::Request::OnStreamReady(http::ClientStream& stream,
                                             const UpstreamConnectionInfo& info) {
  ready = true;
  reused = info.reused;
  protocol = info.protocol;
  if (info.peer != nullptr) peer = info.peer->id.ToString();
  call.stream = &stream;
  http::RequestHead head;
  http::testing::FillRequest(head, "GET", "/");
  stream.SendHeaders(head, true);
}

void UpstreamFixture::Request::OnStreamFailed(PoolFailure why, buffer::CloseReason how,
                                              const std::string& text) {
  failed = true;
  failure = why;
  reason = how;
  explanation = text;
}

void UpstreamFixture::Request::Reset() {
  if (call.stream != nullptr) std::exchange(call.stream, nullptr)->Reset();
}

UpstreamFixture::UpstreamFixture()
    : tunnels_(dispatcher_, verifier_, static_cast<HbonePool::Observer&>(*this), {}),
      table_(dispatcher_, verifier_, tunnels_, static_cast<PoolObserver&>(*this), stats_) {}

UpstreamFixture::~UpstreamFixture() {
  cluster_ = {};
  Settle();
}

std::shared_ptr<const identity::SecretSnapshot> UpstreamFixture::SecretOf(
    const spiffe::testing::TestAuthority& authority, const std::string& id, absl::Time not_after) {
  spiffe::testing::LeafOptions options;
  options.uris = {id};
  options.not_after = not_after;
  spiffe::testing::IssuedLeaf leaf = authority.Issue(options);
  auto secret = std::make_shared<identity::SecretSnapshot>();
  secret->generation = 1;
  secret->id = *spiffe::SpiffeId::Parse(id);
  for (const std::string& der : leaf.chain_der) {
    secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
  }
  secret->key = std::move(leaf.key);
  secret->not_before = absl::Now() - absl::Seconds(30);
  secret->not_after = not_after;
  secret->bundles = authority.bundles();
  secret->deny_list = std::make_shared<spiffe::DenyList>(1);
  return secret;
}

void UpstreamFixture::SetSecret(absl::Duration life) {
  auto context = tls::TlsContext::Create(tls::Role::kClient,
                                         SecretOf(authority_, kOurId, clock_.Wall() + life));
  ASSERT_TRUE(context.ok()) << context.status();
  tunnels_.SetContext(*context);
  table_.SetContext(*context);
}

std::function<tls::TlsOptions()> UpstreamFixture::ServerTls(const std::string& id,
                                                            const char* alpn) {
  auto context = *tls::TlsContext::Create(
      tls::Role::kServer, SecretOf(authority_, id, clock_.Wall() + absl::Hours(20)));
  return [this, context, alpn]() {
    tls::TlsOptions options;
    options.context = context;
    options.alpn = alpn;
    options.verifier = &server_verifier_;
    options.clock = &clock_;
    return options;
  };
}

config::Endpoint UpstreamFixture::PlainEndpoint(const net::Address& address) {
  config::Endpoint endpoint;
  endpoint.address = address;
  return endpoint;
}

config::Endpoint UpstreamFixture::MeshEndpoint(const net::Address& address, const std::string& id) {
  config::Endpoint endpoint = PlainEndpoint(address);
  endpoint.transport = config::EndpointTransport::kTls;
  endpoint.identity = *spiffe::SpiffeId::Parse(id);
  return endpoint;
}

std::shared_ptr<config::Cluster> UpstreamFixture::ClusterOf(
    std::vector<config::Endpoint> endpoints) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "echo";
  cluster->endpoints = std::move(endpoints);
  return cluster;
}

Cluster& UpstreamFixture::Use(std::shared_ptr<const config::Cluster> config) {
  cluster_ = table_.Acquire(std::move(config));
  return *cluster_;
}

bool UpstreamFixture::RunUntil(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    dispatcher_.RunTurn(/*wait=*/false);
    std::this_thread::yield();
  }
  return true;
}

void UpstreamFixture::Settle() {
  // Loopback delivers at once: what is under way comes within a few turns.
  for (int i = 0; i < 30; ++i) dispatcher_.RunTurn(/*wait=*/false);
}

void UpstreamFixture::Advance(std::chrono::milliseconds by) {
  clock_.Advance(by);
  Settle();
}

std::unique_ptr<UpstreamFixture::Request> UpstreamFixture::Send(Cluster& cluster,
                                                                http::Protocol downstream) {
  auto request = std::make_unique<Request>();
  request->downstream = downstream;
  Host* host = cluster.ChooseHost({});
  EXPECT_NE(host, nullptr);
  if (host != nullptr) cluster.NewStream(*host, *request);
  return request;
}

std::unique_ptr<UpstreamFixture::Request> UpstreamFixture::Get(Cluster& cluster,
                                                               http::Protocol downstream) {
  auto request = Send(cluster, downstream);
  EXPECT_TRUE(RunUntil([&] { return request->failed || request->call.ends > 0; }))
      << "no answer: ready=" << request->ready;
  return request;
}

uint32_t UpstreamFixture::Count(Cluster& cluster, CircuitBreakers::Kind kind) {
  return cluster.circuit_breakers().count(kind);
}

}  // namespace countersign::upstream::testing
