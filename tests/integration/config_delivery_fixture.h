// From a YAML file to what a proxy's workers are told: the real folder, the real ADS server over
// TLS on loopback, the real xDS client.
#ifndef COUNTERSIGN_TESTS_INTEGRATION_CONFIG_DELIVERY_FIXTURE_H_
#define COUNTERSIGN_TESTS_INTEGRATION_CONFIG_DELIVERY_FIXTURE_H_

#include <chrono>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/spiffe/testing/test_authority.h"
#include "control/ads/ads_server.h"
#include "control/registry/file/file_registry.h"
#include "gtest/gtest.h"
#include "proxy/event/dispatcher.h"
#include "proxy/identity/grpc_control_dialer.h"
#include "proxy/stats/registry.h"
#include "proxy/xds/xds_client.h"

namespace grpc {
class Server;
}

namespace countersign {

inline constexpr char kControl[] = "spiffe://mesh.test/countersign/control";
inline constexpr char kWeb[] = "spiffe://mesh.test/ns/default/sa/web";
inline constexpr char kDb[] = "spiffe://mesh.test/ns/default/sa/db";

inline constexpr char kMesh[] = R"(
apiVersion: countersign.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec:
  trustDomain: mesh.test
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: web-1, labels: {app: web}}
spec:
  addresses: [10.0.0.1, "fd00::1"]
  serviceAccount: web
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: db-1, labels: {app: db}}
spec:
  addresses: [10.0.0.2, "fd00::2"]
  serviceAccount: db
  ports: [{name: sql, port: 5432}]
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: legacy, labels: {app: legacy}}
spec:
  addresses: [10.0.0.9]
  tunnel: NONE
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  selector: {app: db}
  clusterIPs: [10.96.0.1, "fd96::1"]
  ports: [{port: 5432, targetPort: sql}]
)";

inline constexpr char kStrict[] = R"(
apiVersion: countersign.dev/v1alpha1
kind: PeerAuthentication
metadata: {name: db-strict}
spec:
  selector: {matchLabels: {app: web}}
  mtls: {mode: STRICT}
  portLevelMtls:
    9090: {mode: DISABLE}
)";

inline net::Address At(const char* text) { return *net::Address::Parse(text); }

// A proxy without its byte path: everything that workers would be told, on one thread.
class Proxy final : public config::ConfigSink {
 public:
  Proxy(const std::string& target, const std::string& node, event::Dispatcher& dispatcher)
      : dialer_(target,
                [&dispatcher](std::function<void()> call) { dispatcher.Post(std::move(call)); }),
        client_({.node_id = node,
                 .control_id = *spiffe::SpiffeId::Parse(kControl),
                 .random = [] { return 0.5; },
                 .backoff_base = std::chrono::milliseconds(20),
                 .backoff_cap = std::chrono::milliseconds(100),
                 .idle = std::chrono::milliseconds(idle_ms),
                 .sweep = std::chrono::milliseconds(50)},
                dialer_, dispatcher, stats_) {
    client_.AddSink(this);
  }

  void Identify(const spiffe::testing::TestAuthority& authority, const std::string& id,
                uint64_t generation = 1, absl::Time not_after = absl::Now() + absl::Hours(1)) {
    spiffe::testing::LeafOptions options;
    options.uris = {id};
    options.not_after = not_after;
    spiffe::testing::IssuedLeaf leaf = authority.Intermediate().Issue(options);
    auto secret = std::make_shared<identity::SecretSnapshot>();
    secret->generation = generation;
    secret->id = *spiffe::SpiffeId::Parse(id);
    for (const std::string& der : leaf.chain_der) {
      secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
    }
    secret->key = std::move(leaf.key);
    secret->bundles = authority.bundles();
    secret->deny_list = std::make_shared<const spiffe::DenyList>();
    client_.OnSecret(std::move(secret));
  }

  void OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) override {
    config_ = std::move(config);
  }
  void OnDestination(const net::Address& address,
                     std::shared_ptr<const config::Destination> destination) override {
    if (destination == nullptr) {
      destinations_.erase(address.ToString());
    } else {
      destinations_[address.ToString()] = std::move(destination);
    }
  }

  const config::Destination* Find(const char* address) const {
    auto it = destinations_.find(address);
    return it == destinations_.end() ? nullptr : it->second.get();
  }

  static inline int idle_ms = 600'000;

  stats::Registry stats_;
  identity::GrpcControlDialer dialer_;
  xds::XdsClient client_;
  std::shared_ptr<const config::ProxyConfig> config_;
  std::map<std::string, std::shared_ptr<const config::Destination>> destinations_;
};

// A control plane over a folder of its own, and what its proxies need to meet it.
class ConfigDeliveryTest : public ::testing::Test {
 protected:
  ConfigDeliveryTest();
  ~ConfigDeliveryTest() override;

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }

  // The control plane; again after a Stop, on the same port.
  void Start();
  void Stop();

  std::unique_ptr<Proxy> NewProxy(const std::string& node) {
    return std::make_unique<Proxy>(absl::StrCat("127.0.0.1:", port_), node, dispatcher_);
  }

  // Turns the main loop until `done`, for at most ten seconds.
  bool RunUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
      dispatcher_.RunTurn(false);
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

  std::string Metrics() const;

  spiffe::testing::TestAuthority authority_;
  std::string folder_;
  std::shared_ptr<const spiffe::BundleSet> bundles_;
  std::shared_ptr<const spiffe::DenyList> deny_list_ = std::make_shared<const spiffe::DenyList>();
  int port_ = 0;
  std::unique_ptr<prometheus::Registry> metrics_;
  std::unique_ptr<control::ads::AdsServer> ads_;
  std::unique_ptr<control::registry::FileRegistry> registry_;
  std::unique_ptr<grpc::Server> server_;
  event::Dispatcher dispatcher_;
};

}  // namespace countersign

#endif  // COUNTERSIGN_TESTS_INTEGRATION_CONFIG_DELIVERY_FIXTURE_H_
