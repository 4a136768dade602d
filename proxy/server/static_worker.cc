// One worker without a control plane, for profiling the byte path alone: its certificate comes from
// files, and its one destination from the command line.
//
//   static_worker client CERT KEY CA LISTEN APPLICATION TUNNEL SERVER_ID
//   static_worker server CERT KEY CA TUNNEL
//   static_worker http-client CERT KEY CA LISTEN APPLICATION SIDECAR SERVER_ID
//   static_worker http-server CERT KEY CA LISTEN APPLICATION
//
// The first two carry bytes through a tunnel, the others HTTP from sidecar to sidecar.
#include <openssl/pem.h>
#include <signal.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "api/spiffe/verifier.h"
#include "proxy/server/worker.h"

namespace countersign::server {
namespace {

// The sole subscriber asks for the sole destination.
class OneDestination : public config::Discovery {
 public:
  void Subscribe(const net::Address& address) override {
    worker->OnDestination(address, destination);
  }
  void Touch(const net::Address&) override {}

  Worker* worker = nullptr;
  std::shared_ptr<const config::Destination> destination;
};

std::vector<spiffe::X509Ptr> ReadCertificates(const char* path) {
  std::vector<spiffe::X509Ptr> certificates;
  std::FILE* file = std::fopen(path, "r");
  if (file == nullptr) return certificates;
  while (X509* certificate = PEM_read_X509(file, nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  std::fclose(file);
  return certificates;
}

std::shared_ptr<identity::SecretSnapshot> ReadSecret(const char* cert, const char* key,
                                                     const char* ca) {
  auto secret = std::make_shared<identity::SecretSnapshot>();
  secret->generation = 1;
  secret->chain = ReadCertificates(cert);
  const std::vector<spiffe::X509Ptr> roots = ReadCertificates(ca);
  std::FILE* file = std::fopen(key, "r");
  if (secret->chain.empty() || roots.empty() || file == nullptr) return nullptr;
  secret->key.reset(PEM_read_PrivateKey(file, nullptr, nullptr, nullptr));
  std::fclose(file);
  spiffe::PeerSvid svid;
  if (spiffe::ParseLeaf(secret->chain[0].get(), &svid) != spiffe::VerifyError::kNone) {
    return nullptr;
  }
  secret->id = svid.id;
  secret->not_before = svid.not_before;
  secret->not_after = svid.not_after;
  spiffe::BundleSet::Bundle bundle{std::string(svid.id.trust_domain()), {}};
  for (const spiffe::X509Ptr& root : roots) {
    unsigned char* der = nullptr;
    const int n = i2d_X509(root.get(), &der);
    bundle.authorities_der.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(n));
    OPENSSL_free(der);
  }
  auto bundles = spiffe::BundleSet::Create(1, {bundle});
  if (!bundles.ok()) return nullptr;
  secret->bundles = *bundles;
  secret->deny_list = std::make_shared<spiffe::DenyList>(1);
  return secret;
}

// `endpoint` as the one place that everything goes to.
std::shared_ptr<const config::Destination> DestinationOf(config::Endpoint endpoint, bool http) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "application";
  cluster->endpoints.push_back(std::move(endpoint));
  auto destination = std::make_shared<config::Destination>();
  destination->kind = config::Destination::Kind::kCluster;
  destination->cluster = cluster;
  if (!http) return destination;
  config::Route route;
  route.name = "all";
  route.forward.clusters.push_back({.cluster = cluster->name});
  route.forward.total_weight = 1;
  config::VirtualHost host;
  host.domains = {"*"};
  host.routes.push_back(std::move(route));
  auto routes = std::make_shared<config::RouteConfiguration>();
  routes->virtual_hosts.push_back(std::move(host));
  destination->routes = std::move(routes);
  destination->route_clusters = {cluster};
  return destination;
}

int Main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const bool client = mode == "client" || mode == "http-client";
  const bool http = mode == "http-client" || mode == "http-server";
  if (argc != (client ? 9 : http ? 7 : 6)) {
    std::fprintf(stderr, "usage: see the head of this program's source\n");
    return 2;
  }
  const auto secret = ReadSecret(argv[2], argv[3], argv[4]);
  if (secret == nullptr) {
    std::fprintf(stderr, "cannot use %s, %s and %s\n", argv[2], argv[3], argv[4]);
    return 1;
  }
  WorkerOptions options;
  OneDestination discovery;
  const net::Address listen = *net::Address::Parse(argv[5]);
  if (client) {
    const net::Address application = *net::Address::Parse(argv[6]);
    options.forwards = {{listen, application}};
    config::Endpoint endpoint;
    endpoint.identity = *spiffe::SpiffeId::Parse(argv[8]);
    endpoint.address = http ? *net::Address::Parse(argv[7]) : application;
    endpoint.transport = http ? config::EndpointTransport::kTls : config::EndpointTransport::kHbone;
    if (!http) endpoint.tunnel = *net::Address::Parse(argv[7]);
    discovery.destination = DestinationOf(std::move(endpoint), http);
  } else if (http) {
    options.inbound_forwards = {{listen, *net::Address::Parse(argv[6])}};
  } else {
    options.hbone_listen = {listen};
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  stats::Registry stats;
  Worker worker(options, discovery, stats);
  discovery.worker = &worker;
  if (const absl::Status status = worker.Start(); !status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  worker.OnProxyConfig(std::make_shared<config::ProxyConfig>());
  worker.OnSecret(secret);
  int received = 0;
  sigwait(&signals, &received);
  worker.Stop();
  return 0;
}

}  // namespace
}  // namespace countersign::server

int main(int argc, char** argv) { return countersign::server::Main(argc, argv); }
