// A client of the configuration stream whose control plane says what the test tells it to.
#ifndef COUNTERSIGN_PROXY_XDS_XDS_CLIENT_FIXTURE_H_
#define COUNTERSIGN_PROXY_XDS_XDS_CLIENT_FIXTURE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/spiffe/testing/test_authority.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/discovery.pb.h"
#include "api/xds/endpoint.pb.h"
#include "api/xds/listener.pb.h"
#include "api/xds/names.h"
#include "api/xds/tcp_proxy.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/xds/xds_client.h"

namespace countersign::xds {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

class ScriptedDialer final : public identity::ControlDialer {
 public:
  class Stream final : public identity::ControlStream {
   public:
    Stream(ScriptedDialer& dialer, Handler& handler) : handler_(handler), dialer_(dialer) {
      dialer_.open.push_back(this);
    }
    ~Stream() override { std::erase(dialer_.open, this); }
    void Send(std::string message) override {
      ASSERT_TRUE(requests.emplace_back().ParseFromString(message));
    }
    void Say(const DeltaDiscoveryResponse& response) {
      handler_.OnMessage(response.SerializeAsString());
    }
    void Close(const absl::Status& status) { handler_.OnClosed(status); }

    // The last request of this type, acknowledgements included.
    const DeltaDiscoveryRequest& Last(const char* type) const {
      for (auto it = requests.rbegin(); it != requests.rend(); ++it) {
        if (it->type_url() == type) {
          return *it;
        }
      }
      return DeltaDiscoveryRequest::default_instance();
    }

    std::vector<DeltaDiscoveryRequest> requests;

   private:
    Handler& handler_;
    ScriptedDialer& dialer_;
  };

  std::unique_ptr<identity::ControlStream> Open(
      const identity::ControlStreamParams& params,
      identity::ControlStream::Handler& handler) override {
    ++opened;
    last_params = params;
    return std::make_unique<Stream>(*this, handler);
  }

  std::vector<Stream*> open;
  identity::ControlStreamParams last_params;
  int opened = 0;
};

class XdsClientFixture : public ::testing::Test, public config::ConfigSink {
 protected:
  XdsClientFixture() : clock_(absl::Now()), dispatcher_(clock_), authority_("mesh.test") {
    XdsClientOptions options;
    options.node_id = "default/web";
    options.control_id = *spiffe::SpiffeId::Parse("spiffe://mesh.test/countersign/control");
    options.random = [] { return 0.999; };
    options.max_destinations = 3;
    client_.emplace(options, dialer_, dispatcher_, stats_);
    client_->AddSink(this);
  }

  void OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) override {
    config_ = std::move(config);
  }
  void OnDestination(const net::Address& address,
                     std::shared_ptr<const config::Destination> destination) override {
    ++told_;
    destinations_[address.ToString()] = std::move(destination);
  }

  void Identify() {
    spiffe::testing::IssuedLeaf leaf = authority_.Issue("spiffe://mesh.test/ns/default/sa/default");
    auto secret = std::make_shared<identity::SecretSnapshot>();
    secret->chain.push_back(spiffe::testing::CertificateFromDer(leaf.chain_der[0]));
    secret->key = std::move(leaf.key);
    secret->bundles = authority_.bundles();
    secret_ = std::move(secret);
    client_->OnSecret(secret_);
  }

  void Want(const char* address) {
    client_->Subscribe(*net::Address::Parse(address));
    Turn();
  }
  void Turn() {
    dispatcher_.RunTurn(false);
    dispatcher_.RunTurn(false);
  }
  void Pass(std::chrono::milliseconds time) {
    clock_.Advance(time);
    Turn();
  }

  static DeltaDiscoveryResponse Response(const char* type, const std::string& nonce = "1") {
    DeltaDiscoveryResponse response;
    response.set_type_url(type);
    response.set_nonce(nonce);
    return response;
  }
  template <typename Message>
  static void Add(const std::string& name, const Message& message, DeltaDiscoveryResponse* response,
                  const std::string& version = "v1") {
    auto* resource = response->add_resources();
    resource->set_name(name);
    resource->set_version(version);
    resource->mutable_resource()->PackFrom(message);
  }
  static envoy::config::listener::v3::FilterChain ChainTo(const std::string& cluster) {
    envoy::config::listener::v3::FilterChain chain;
    envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
    proxy.set_cluster(cluster);
    chain.add_filters()->mutable_typed_config()->PackFrom(proxy);
    return chain;
  }
  static envoy::config::listener::v3::Listener Destination(const net::Address& address,
                                                           const std::string& cluster) {
    envoy::config::listener::v3::Listener listener;
    listener.set_name(DestinationName(address));
    auto* socket = listener.mutable_address()->mutable_socket_address();
    socket->set_address(address.ip().ToString());
    socket->set_port_value(address.port());
    *listener.add_filter_chains() = ChainTo(cluster);
    return listener;
  }
  static envoy::config::cluster::v3::Cluster Cluster(const std::string& name,
                                                     const std::string& rest) {
    envoy::config::cluster::v3::Cluster cluster;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("name: \"", name, "\" ", rest), &cluster));
    return cluster;
  }
  static envoy::config::endpoint::v3::ClusterLoadAssignment Endpoints(const std::string& name,
                                                                      int count) {
    envoy::config::endpoint::v3::ClusterLoadAssignment out;
    out.set_cluster_name(name);
    for (int i = 0; i < count; ++i) {
      auto* socket = out.add_endpoints()
                         ->add_lb_endpoints()
                         ->mutable_endpoint()
                         ->mutable_address()
                         ->mutable_socket_address();
      socket->set_address(absl::StrCat("10.0.0.", i + 1));
      socket->set_port_value(80);
    }
    return out;
  }

  void SayStanding(ScriptedDialer::Stream* stream) {
    DeltaDiscoveryResponse clusters = Response(kClusterUrl, "c1");
    Add("Pass", Cluster("Pass", "type: ORIGINAL_DST"), &clusters);
    stream->Say(clusters);
    DeltaDiscoveryResponse listeners = Response(kListenerUrl, "l1");
    envoy::config::listener::v3::Listener inbound, outbound;
    inbound.set_name("inbound");
    *inbound.add_filter_chains() = ChainTo("Pass");
    outbound.set_name("outbound");
    *outbound.mutable_default_filter_chain() = ChainTo("Pass");
    Add("inbound", inbound, &listeners);
    Add("outbound", outbound, &listeners);
    stream->Say(listeners);
  }
  void SayDestination(ScriptedDialer::Stream* stream, const char* address, int endpoints) {
    const net::Address at = *net::Address::Parse(address);
    DeltaDiscoveryResponse clusters = Response(kClusterUrl, "c2");
    Add("web", Cluster("web", "type: EDS eds_cluster_config { eds_config { ads {} } }"), &clusters);
    stream->Say(clusters);
    DeltaDiscoveryResponse assignments = Response(kEndpointsUrl, "e2");
    Add("web", Endpoints("web", endpoints), &assignments);
    stream->Say(assignments);
    DeltaDiscoveryResponse listeners = Response(kListenerUrl, "l2");
    Add(DestinationName(at), Destination(at, "web"), &listeners);
    stream->Say(listeners);
  }

  event::SimulatedClock clock_;
  event::Dispatcher dispatcher_;
  stats::Registry stats_;
  spiffe::testing::TestAuthority authority_;
  ScriptedDialer dialer_;
  std::shared_ptr<const identity::SecretSnapshot> secret_;
  std::optional<XdsClient> client_;
  std::shared_ptr<const config::ProxyConfig> config_;
  std::map<std::string, std::shared_ptr<const config::Destination>> destinations_;
  int told_ = 0;
};

}  // namespace countersign::xds

#endif  // COUNTERSIGN_PROXY_XDS_XDS_CLIENT_FIXTURE_H_
