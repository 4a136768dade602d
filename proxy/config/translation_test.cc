// What the proxy takes of xDS, and how it refuses the rest.
#include <string>

#include "api/xds/tcp_proxy.pb.h"
#include "api/xds/tls.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/unknown_field_set.h"
#include "gtest/gtest.h"
#include "proxy/config/cluster_translation.h"
#include "proxy/config/listener_translation.h"
#include "proxy/config/strict_fields.h"

namespace countersign::config {
namespace {

using ::testing::HasSubstr;
namespace cluster = ::envoy::config::cluster::v3;
namespace endpoint = ::envoy::config::endpoint::v3;
namespace listener = ::envoy::config::listener::v3;

template <typename Message>
Message Text(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

std::string Why(const absl::Status& status) { return std::string(status.message()); }
template <typename T>
std::string Why(const absl::StatusOr<T>& result) {
  return result.ok() ? "" : Why(result.status());
}

constexpr char kFilter[] = R"(
  filters { name: "envoy.filters.network.tcp_proxy" typed_config {
    [type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy] {
      stat_prefix: "x" cluster: "app" } } })";
constexpr char kMtls[] = R"(
  transport_socket { name: "envoy.transport_sockets.tls" typed_config {
    [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext] {
      require_client_certificate { value: true }
      common_tls_context {
        alpn_protocols: "countersign"
        tls_certificate_sds_secret_configs { name: "default" }
        validation_context_sds_secret_config { name: "ROOTCA" } } } } })";

std::string Chain(const std::string& match, const std::string& rest = "",
                  const std::string& policy = "ns/p") {
  return "filter_chains { filter_chain_match {" + match + "}" + kFilter + rest +
         " metadata { filter_metadata { key: \"countersign\" value { fields { key: \"policy\" "
         "value { string_value: \"" +
         policy + "\" } } } } } }\n";
}
std::string MtlsChain(const std::string& match = "") {
  return Chain(match + " transport_protocol: \"tls\" application_protocols: \"countersign\"",
               kMtls);
}
std::string PlainChain(const std::string& match = "") {
  return Chain(match + " transport_protocol: \"raw_buffer\"");
}

absl::StatusOr<InboundListener> Inbound(const std::string& chains) {
  return TranslateInbound(Text<listener::Listener>("name: \"inbound\" " + chains));
}

TEST(ListenerTranslationTest, ModesFollowFromTheChainsThatThereAre) {
  const std::string eighty = "destination_port { value: 80 }";
  const std::string ninety = "destination_port { value: 90 }";
  const auto inbound = Inbound(MtlsChain() + MtlsChain(eighty) + PlainChain(eighty) +
                               Chain(eighty + " transport_protocol: \"tls\"") + PlainChain(ninety));
  ASSERT_TRUE(inbound.ok()) << Why(inbound);
  EXPECT_EQ(inbound->policy.For(1).mode, MtlsMode::kStrict);
  EXPECT_EQ(inbound->policy.For(80).mode, MtlsMode::kPermissive);
  EXPECT_EQ(inbound->policy.For(90).mode, MtlsMode::kDisable);
  EXPECT_EQ(inbound->policy.For(80).policy, "ns/p");
  EXPECT_EQ(inbound->cluster, "app");
}

TEST(ListenerTranslationTest, PortsThatNoChainCoversAreStrict) {
  const auto inbound = Inbound(PlainChain("destination_port { value: 80 }"));
  ASSERT_TRUE(inbound.ok());
  EXPECT_EQ(inbound->policy.For(81).mode, MtlsMode::kStrict);
}

TEST(ListenerTranslationTest, AnythingWeakerThanMutualTlsIsRefused) {
  const std::string match = " transport_protocol: \"tls\" application_protocols: \"countersign\"";
  std::string no_client = kMtls;
  no_client.replace(no_client.find("value: true"), 11, "value: false");
  EXPECT_THAT(
      Why(Inbound(Chain(match, no_client))),
      HasSubstr("filter_chains[0].transport_socket.typed_config.require_client_certificate: "
                "must be true"));
  std::string no_validation = kMtls;
  const std::string validation = "validation_context_sds_secret_config { name: \"ROOTCA\" }";
  no_validation.erase(no_validation.find(validation), validation.size());
  EXPECT_THAT(Why(Inbound(Chain(match, no_validation))),
              HasSubstr("validation_context_sds_secret_config: is required"));
  std::string old_tls = kMtls;
  old_tls.insert(old_tls.find("alpn_protocols"),
                 "tls_params { tls_minimum_protocol_version: TLSv1_2 } ");
  EXPECT_THAT(Why(Inbound(Chain(match, old_tls))), HasSubstr("TLS 1.3 only"));
  std::string other_secret = kMtls;
  other_secret.replace(other_secret.find("\"default\""), 9, "\"mine\"");
  EXPECT_THAT(Why(Inbound(Chain(match, other_secret))), HasSubstr("no secret of this proxy"));
  EXPECT_THAT(Why(Inbound(Chain(" transport_protocol: \"tls\"", kMtls))),
              HasSubstr("application_protocols: must name `countersign`"));
  EXPECT_THAT(Why(Inbound(Chain("", kMtls))), HasSubstr("must be `tls`"));
}

TEST(ListenerTranslationTest, UnknownFieldsAreRefusedByNumberWhereverTheyAre) {
  auto in = Text<listener::Listener>("name: \"inbound\" " + MtlsChain());
  // FilterChainMatch.source_prefix_ranges: ignoring it would let everybody in.
  auto* match = in.mutable_filter_chains(0)->mutable_filter_chain_match();
  match->GetReflection()->MutableUnknownFields(match)->AddLengthDelimited(6, "x");
  EXPECT_THAT(Why(TranslateInbound(in)),
              HasSubstr("listener `inbound`.filter_chains[0].filter_chain_match: field 6 of "
                        "envoy.config.listener.v3.FilterChainMatch is not honoured"));
  in = Text<listener::Listener>("name: \"inbound\" " + MtlsChain());
  // Inside an Any: TcpProxy.idle_timeout.
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  proxy.set_cluster("app");
  proxy.GetReflection()->MutableUnknownFields(&proxy)->AddLengthDelimited(8, "");
  in.mutable_filter_chains(0)->mutable_filters(0)->mutable_typed_config()->PackFrom(proxy);
  EXPECT_THAT(Why(TranslateInbound(in)), HasSubstr("filters[0].typed_config: field 8 of"));
}

TEST(ListenerTranslationTest, OtherFiltersAreRefusedByType) {
  auto in = Text<listener::Listener>("name: \"inbound\" " + MtlsChain());
  auto* any = in.mutable_filter_chains(0)->mutable_filters(0)->mutable_typed_config();
  any->set_type_url("type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC");
  EXPECT_THAT(Why(TranslateInbound(in)), HasSubstr("rbac.v3.RBAC` is not honoured"));
  in.mutable_filter_chains(0)->clear_filters();
  EXPECT_THAT(Why(TranslateInbound(in)), HasSubstr("must be exactly one, a TCP proxy"));
}

TEST(ListenerTranslationTest, AnEmptyOrAmbiguousInboundIsRefused) {
  EXPECT_THAT(Why(Inbound("")), HasSubstr("must not be empty"));
  EXPECT_THAT(Why(Inbound(Chain(" transport_protocol: \"tls\""))),
              HasSubstr("all other ports: allows foreign TLS only"));
  EXPECT_THAT(Why(Inbound(PlainChain("destination_port { value: 70000 }"))),
              HasSubstr("must be 1 to 65535"));
  EXPECT_THAT(Why(TranslateInbound(Text<listener::Listener>("name: \"x\""))),
              HasSubstr("must be `inbound`"));
}

TEST(ListenerTranslationTest, OutboundNamesItsPolicyAndCluster) {
  const auto outbound = TranslateOutbound(Text<listener::Listener>(
      std::string("name: \"outbound\" default_filter_chain { name: \"REGISTRY_ONLY m/d\" ") +
      kFilter + "}"));
  ASSERT_TRUE(outbound.ok()) << Why(outbound);
  EXPECT_EQ(outbound->policy, "REGISTRY_ONLY m/d");
  EXPECT_EQ(outbound->cluster, "app");
  EXPECT_FALSE(TranslateOutbound(Text<listener::Listener>("name: \"outbound\"")).ok());
}

TEST(ListenerTranslationTest, ADestinationIsWhatItsNameSays) {
  const net::Address address = *net::Address::Parse("[fd00::1]:80");
  const auto make = [](const std::string& ip, int port) {
    return Text<listener::Listener>(
        "name: \"outbound/[fd00::1]:80\" address { socket_address { address: \"" + ip +
        "\" port_value: " + std::to_string(port) + " } } filter_chains {" + kFilter + "}");
  };
  EXPECT_EQ(TranslateDestination(make("fd00::1", 80), address)->cluster, "app");
  EXPECT_FALSE(TranslateDestination(make("fd00::2", 80), address).ok());
  EXPECT_FALSE(TranslateDestination(make("fd00::1", 81), address).ok());
  EXPECT_FALSE(TranslateDestination(make("fd00::1", 80), *net::Address::Parse("10.0.0.1:80")).ok());
}

constexpr char kUpstreamMtls[] = R"(
  transport_socket_matches { name: "mtls" match { fields { key: "mtls" value { string_value: "true" } } }
    transport_socket { name: "envoy.transport_sockets.tls" typed_config {
      [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext] {
        common_tls_context {
          tls_certificate_sds_secret_configs { name: "default" }
          combined_validation_context {
            default_validation_context { match_typed_subject_alt_names {
              san_type: URI matcher { exact: "spiffe://a/ns/b/sa/c" } } }
            validation_context_sds_secret_config { name: "ROOTCA" } } } } } } }
  transport_socket_matches { name: "plaintext" match {} })";

std::string EndpointText(const std::string& metadata, const std::string& rest = "") {
  return "cluster_name: \"c\" endpoints { lb_endpoints { endpoint { address { socket_address { "
         "address: \"10.0.0.1\" port_value: 80 } } } " +
         rest + " metadata { " + metadata + " } } }";
}
std::string Ours(const std::string& fields) {
  return "filter_metadata { key: \"countersign\" value { " + fields + " } }";
}
std::string Field(const std::string& key, const std::string& value) {
  return "fields { key: \"" + key + "\" value { string_value: \"" + value + "\" } }";
}

TEST(ClusterTranslationTest, AnEndpointsMetadataSaysHowItIsReached) {
  const auto endpoints = TranslateEndpoints(Text<endpoint::ClusterLoadAssignment>(
      EndpointText(Ours(Field("transport", "hbone") +
                        "fields { key: \"tunnel_port\" value { number_value: 15008 } }" +
                        Field("identity", "spiffe://a/ns/b/sa/c") + Field("workload", "w")))));
  ASSERT_TRUE(endpoints.ok()) << Why(endpoints);
  const Endpoint& one = endpoints->endpoints.at(0).endpoint;
  EXPECT_EQ(one.transport, EndpointTransport::kHbone);
  EXPECT_EQ(one.tunnel.ToString(), "10.0.0.1:15008");
  EXPECT_EQ(one.identity.ToString(), "spiffe://a/ns/b/sa/c");
  EXPECT_EQ(one.workload, "w");
}

TEST(ClusterTranslationTest, AMeshEndpointWithoutAnExactIdentityIsRefused) {
  const auto why = [](const std::string& fields) {
    return Why(
        TranslateEndpoints(Text<endpoint::ClusterLoadAssignment>(EndpointText(Ours(fields)))));
  };
  EXPECT_THAT(why(Field("transport", "tls")), HasSubstr("identity: the identity that must answer"));
  EXPECT_THAT(
      why(Field("transport", "tls") + Field("identity", "spiffe://A/b")),
      HasSubstr("endpoints `c`.endpoints[0].lb_endpoints[0].metadata.countersign.identity"));
  EXPECT_THAT(why(Field("transport", "hbone") + Field("identity", "spiffe://a/b")),
              HasSubstr("tunnel_port: must be 1 to 65535"));
  EXPECT_THAT(why(Field("transport", "quic")), HasSubstr("must be `hbone`, `tls` or `none`"));
}

TEST(ClusterTranslationTest, WithoutOurMetadataTheClustersSocketMatchesDecide) {
  const auto resource = TranslateCluster(Text<cluster::Cluster>(
      std::string("name: \"c\" type: EDS eds_cluster_config { eds_config { ads {} } }") +
      kUpstreamMtls));
  ASSERT_TRUE(resource.ok()) << Why(resource);
  const auto assemble = [&](const std::string& metadata) {
    const auto endpoints =
        TranslateEndpoints(Text<endpoint::ClusterLoadAssignment>(EndpointText(metadata)));
    EXPECT_TRUE(endpoints.ok()) << Why(endpoints);
    return AssembleCluster(*resource, *endpoints);
  };
  const auto mtls = assemble("filter_metadata { key: \"envoy.transport_socket_match\" value { " +
                             Field("mtls", "true") + " } }");
  ASSERT_EQ(mtls->endpoints.size(), 1);
  EXPECT_EQ(mtls->endpoints[0].transport, EndpointTransport::kTls);
  EXPECT_EQ(mtls->endpoints[0].identity.ToString(), "spiffe://a/ns/b/sa/c");
  EXPECT_EQ(assemble("")->endpoints[0].transport, EndpointTransport::kPlaintext);
}

TEST(ClusterTranslationTest, AnEndpointThatCannotBeVerifiedIsLeftOut) {
  std::string two = kUpstreamMtls;
  two.insert(
      two.find("match_typed_subject_alt_names"),
      "match_typed_subject_alt_names { san_type: URI matcher { exact: \"spiffe://a/x\" } } ");
  const auto resource = TranslateCluster(Text<cluster::Cluster>(
      "name: \"c\" type: EDS eds_cluster_config { eds_config { ads {} } }" + two));
  ASSERT_TRUE(resource.ok()) << Why(resource);
  const auto endpoints = TranslateEndpoints(Text<endpoint::ClusterLoadAssignment>(
      EndpointText("filter_metadata { key: \"envoy.transport_socket_match\" value { " +
                   Field("mtls", "true") + " } }")));
  EXPECT_TRUE(AssembleCluster(*resource, *endpoints)->endpoints.empty());
}

TEST(ClusterTranslationTest, PatternsForIdentitiesAreRefused) {
  auto in = Text<cluster::Cluster>(
      std::string("name: \"c\" type: EDS eds_cluster_config { eds_config { ads {} } }") +
      kUpstreamMtls);
  envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext context;
  auto* any =
      in.mutable_transport_socket_matches(0)->mutable_transport_socket()->mutable_typed_config();
  ASSERT_TRUE(any->UnpackTo(&context));
  auto* matcher = context.mutable_common_tls_context()
                      ->mutable_combined_validation_context()
                      ->mutable_default_validation_context()
                      ->mutable_match_typed_subject_alt_names(0)
                      ->mutable_matcher();
  matcher->set_prefix("spiffe://");
  any->PackFrom(context);
  EXPECT_THAT(Why(TranslateCluster(in)), HasSubstr("must be san_type URI and exact"));
  matcher->set_exact("spiffe://a/ns/b/sa/c");
  matcher->set_ignore_case(true);
  any->PackFrom(context);
  EXPECT_THAT(Why(TranslateCluster(in)), HasSubstr("must be san_type URI and exact"));
}

TEST(ClusterTranslationTest, UnhealthyEndpointsAreLeftOut) {
  const auto endpoints = TranslateEndpoints(
      Text<endpoint::ClusterLoadAssignment>(EndpointText("", "health_status: DRAINING")));
  ASSERT_TRUE(endpoints.ok());
  EXPECT_TRUE(endpoints->endpoints.empty());
}

TEST(ClusterTranslationTest, WhatIsNotHonouredIsNamed) {
  const auto why = [](const std::string& text) {
    return Why(TranslateCluster(Text<cluster::Cluster>("name: \"c\" " + text)));
  };
  EXPECT_THAT(why("type: STRICT_DNS"), HasSubstr("cluster `c`.type: STRICT_DNS is not honoured"));
  EXPECT_THAT(why("lb_policy: LOAD_BALANCING_POLICY_CONFIG"),
              HasSubstr("load_balancing_policy.policies: name none that is honoured"));
  EXPECT_THAT(why("type: EDS"), HasSubstr("eds_config: must be ads"));
  EXPECT_THAT(why("connect_timeout { seconds: -1 }"), HasSubstr("connect_timeout"));
  EXPECT_THAT(why("connect_timeout { seconds: 9223372036854775807 }"), HasSubstr("600 s"));
  auto in = Text<cluster::Cluster>("name: \"c\"");
  // Cluster.upstream_bind_config
  in.GetReflection()->MutableUnknownFields(&in)->AddLengthDelimited(21, "");
  EXPECT_THAT(Why(TranslateCluster(in)), HasSubstr("field 21 of envoy.config.cluster.v3.Cluster"));
}

}  // namespace
}  // namespace countersign::config
