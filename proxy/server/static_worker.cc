// One worker without a control plane, for profiling the byte path alone: its certificate comes from
// files, and its one destination from the command line.
//
//   static_worker client CERT KEY CA LISTEN APPLICATION TUNNEL SERVER_ID
//   static_worker server CERT KEY CA TUNNEL
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

int Main(int argc, char** argv) {
  const bool client = argc > 1 && std::strcmp(argv[1], "client") == 0;
  if (argc != (client ? 9 : 6)) {
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
  if (client) {
    const net::Address application = *net::Address::Parse(argv[6]);
    options.forwards = {{*net::Address::Parse(argv[5]), application}};
    auto cluster = std::make_shared<config::Cluster>();
    cluster->name = "application";
    config::Endpoint endpoint;
    endpoint.address = application;
    endpoint.transport = config::EndpointTransport::kHbone;
    endpoint.tunnel = *net::Address::Parse(argv[7]);
    endpoint.identity = *spiffe::SpiffeId::Parse(argv[8]);
    cluster->endpoints.push_back(endpoint);
    auto destination = std::make_shared<config::Destination>();
    destination->kind = config::Destination::Kind::kCluster;
    destination->cluster = cluster;
    discovery.destination = destination;
  } else {
    options.hbone_listen = {*net::Address::Parse(argv[5])};
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
