// What the proxy takes of HTTP connection managers, by themselves and in listeners.
#include "proxy/config/http_translation.h"

#include <string>

#include "api/xds/http_connection_manager.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/config/listener_translation.h"

namespace countersign::config {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using HttpConnectionManager =
    ::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

constexpr char kRouter[] =
    "http_filters { typed_config { [type.googleapis.com/"
    "envoy.extensions.filters.http.router.v3.Router] { suppress_envoy_headers: true } } }";
constexpr char kFault[] =
    "http_filters { typed_config { [type.googleapis.com/"
    "envoy.extensions.filters.http.fault.v3.HTTPFault] { } } }";
constexpr char kRds[] = "rds { config_source { ads {} } route_config_name: \"r\" }";
constexpr char kInline[] =
    "route_config { virtual_hosts { domains: \"*\" routes { match { prefix: \"/\" } route { "
    "cluster: \"app\" } } } }";

absl::StatusOr<HttpManager> Translate(const std::string& text) {
  HttpConnectionManager message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  google::protobuf::Any any;
  any.PackFrom(message);
  return TranslateHttpManager(any, "hcm");
}
std::string Why(const std::string& text) {
  const auto manager = Translate(std::string(kRds) + kRouter + text);
  return manager.ok() ? "" : std::string(manager.status().message());
}

TEST(HttpTranslationTest, WithoutAWordTheDefaultsAreTheProxysAndEnvoys) {
  const auto manager = Translate(std::string(kRds) + kFault + kRouter);
  ASSERT_TRUE(manager.ok()) << manager.status();
  EXPECT_EQ(manager->routes_name, "r");
  HttpOptions expected;
  expected.merge_slashes = false;
  expected.forward_client_cert = HttpOptions::ForwardClientCert::kNone;
  EXPECT_EQ(manager->options, expected);
}

TEST(HttpTranslationTest, EveryOptionArrives) {
  const auto manager = Translate(
      std::string(kInline) + kRouter +
      "codec_type: HTTP2 merge_slashes: true path_with_escaped_slashes_action: "
      "UNESCAPE_AND_FORWARD normalize_path { value: true } request_headers_timeout { seconds: 1 } "
      "stream_idle_timeout { seconds: 2 } delayed_close_timeout { } "
      "common_http_protocol_options { idle_timeout { seconds: 3 } max_connection_duration { "
      "seconds: 4 } max_headers_count { value: 5 } } max_request_headers_kb { value: 6 } "
      "http2_protocol_options { max_concurrent_streams { value: 7 } } "
      "forward_client_cert_details: SANITIZE_SET set_current_client_cert_details { uri: true } "
      "tracing { random_sampling { value: 0.5 } } generate_request_id { value: false }");
  ASSERT_TRUE(manager.ok()) << manager.status();
  EXPECT_TRUE(manager->http2_only);
  ASSERT_NE(manager->routes, nullptr);
  HttpOptions expected;
  expected.merge_slashes = true;
  expected.escaped_slashes = HttpOptions::EscapedSlashes::kUnescape;
  expected.request_headers_timeout = milliseconds(1000);
  expected.stream_idle_timeout = milliseconds(2000);
  expected.delayed_close_timeout = milliseconds(0);
  expected.idle_timeout = milliseconds(3000);
  expected.max_connection_age = milliseconds(4000);
  expected.max_headers = 5;
  expected.max_header_bytes = 6 * 1024;
  expected.max_concurrent_streams = 7;
  expected.forward_client_cert = HttpOptions::ForwardClientCert::kXfcc;
  expected.generate_request_id = false;
  expected.trace_per_million = 5000;
  EXPECT_EQ(manager->options, expected);
}

TEST(HttpTranslationTest, WhatIsNotHonouredIsNamed) {
  EXPECT_THAT(Why("codec_type: HTTP3"), HasSubstr("hcm.codec_type: must be AUTO or HTTP2"));
  EXPECT_THAT(Why("normalize_path { value: false }"), HasSubstr("normalize_path: must not be"));
  EXPECT_THAT(Why("path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT"),
              HasSubstr("path_with_escaped_slashes_action: must be"));
  EXPECT_THAT(Why("stream_idle_timeout {}"), HasSubstr("stream_idle_timeout: must be 1 ms"));
  EXPECT_THAT(Why("request_headers_timeout {}"), HasSubstr("request_headers_timeout"));
  EXPECT_THAT(Why("max_request_headers_kb { value: 2000 }"),
              HasSubstr("max_request_headers_kb: must be 1 to 128"));
  EXPECT_THAT(Why("common_http_protocol_options { max_headers_count { value: 0 } }"),
              HasSubstr("max_headers_count"));
  EXPECT_THAT(Why("common_http_protocol_options { max_requests_per_connection { value: 1 } }"),
              HasSubstr("max_requests_per_connection: is not honoured"));
  EXPECT_THAT(Why("http2_protocol_options { max_concurrent_streams { value: 0 } }"),
              HasSubstr("max_concurrent_streams"));
  for (const char* mode : {"FORWARD_ONLY", "APPEND_FORWARD", "ALWAYS_FORWARD_ONLY"}) {
    EXPECT_THAT(Why(std::string("forward_client_cert_details: ") + mode),
                HasSubstr("must be SANITIZE or SANITIZE_SET"));
  }
  EXPECT_THAT(Why("tracing { random_sampling { value: 101 } }"),
              HasSubstr("tracing.random_sampling.value: must be 0 to 100"));
  EXPECT_THAT(Why(kRouter), HasSubstr("http_filters[1].typed_config: the router must be the last"));
  EXPECT_THAT(std::string(Translate(kRds).status().message()),
              HasSubstr("http_filters: must end with the router"));
  EXPECT_THAT(std::string(Translate(kRouter).status().message()),
              HasSubstr("hcm: needs rds or route_config"));
  EXPECT_THAT(std::string(Translate(std::string(kRouter) + "rds {}").status().message()),
              HasSubstr("rds.config_source: must be ads"));
  EXPECT_THAT(
      std::string(
          Translate(std::string(kRouter) + "route_config { virtual_hosts {} }").status().message()),
      HasSubstr("hcm.route_config.virtual_hosts[0].domains"));
}

TEST(HttpTranslationTest, UnknownFieldsAreRefusedInsideToo) {
  HttpConnectionManager message;
  ASSERT_TRUE(
      google::protobuf::TextFormat::ParseFromString(std::string(kInline) + kRouter, &message));
  auto* match =
      message.mutable_route_config()->mutable_virtual_hosts(0)->mutable_routes(0)->mutable_match();
  // RouteMatch.tls_context: a condition that is not looked at.
  match->GetReflection()->MutableUnknownFields(match)->AddLengthDelimited(11, "");
  google::protobuf::Any any;
  any.PackFrom(message);
  EXPECT_THAT(std::string(TranslateHttpManager(any, "hcm").status().message()),
              HasSubstr("hcm.route_config.virtual_hosts[0].routes[0].match: field 11 of "
                        "envoy.config.route.v3.RouteMatch is not honoured"));
}

// --- in listeners ---

std::string HttpFilter(const std::string& manager) {
  return "filters { typed_config { [type.googleapis.com/envoy.extensions.filters.network."
         "http_connection_manager.v3.HttpConnectionManager] {" +
         manager + " " + kRouter + "} } }";
}
constexpr char kTcp[] =
    "filters { typed_config { [type.googleapis.com/"
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy] { cluster: \"app\" } } }";
constexpr char kInspected[] =
    "filter_chain_match { application_protocols: \"http/1.1\" application_protocols: \"h2c\" }";

absl::StatusOr<DestinationListener> Destination(const std::string& chains) {
  envoy::config::listener::v3::Listener message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "name: \"outbound/10.0.0.1:80\" address { socket_address { address: \"10.0.0.1\" "
      "port_value: 80 } } " +
          chains,
      &message))
      << chains;
  return TranslateDestination(message, *net::Address::Parse("10.0.0.1:80"));
}
std::string WhyNot(const std::string& chains) {
  const auto listener = Destination(chains);
  return listener.ok() ? "" : std::string(listener.status().message());
}

TEST(HttpTranslationTest, ADestinationIsForTcpForHttpOrForBoth) {
  const auto http = Destination("filter_chains {" + HttpFilter(kRds) + "}");
  ASSERT_TRUE(http.ok()) << http.status();
  EXPECT_TRUE(http->http);
  EXPECT_FALSE(http->tcp);
  EXPECT_EQ(http->routes_name, "r");
  EXPECT_EQ(http->cluster, "");
  const auto named = Destination(
      "filter_chains {" + HttpFilter(kRds) +
      "metadata { filter_metadata { key: \"countersign\" value { fields { key: \"cluster\" value "
      "{ string_value: \"c\" } } } } } }");
  EXPECT_EQ(named->cluster, "c");
  const auto inlined = Destination("filter_chains {" + HttpFilter(kInline) + "}");
  EXPECT_EQ(inlined->cluster, "app");
  const auto both = Destination("filter_chains {" + std::string(kInspected) + HttpFilter(kRds) +
                                "} filter_chains {" + kTcp + "}");
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_TRUE(both->http && both->tcp);
  EXPECT_EQ(both->cluster, "app");
}

TEST(HttpTranslationTest, ADestinationWhoseChainsContradictEachOtherIsRefused) {
  const std::string tcp = "filter_chains {" + std::string(kTcp) + "}";
  const std::string http = "filter_chains {" + HttpFilter(kRds) + "}";
  const std::string inspected =
      "filter_chains {" + std::string(kInspected) + HttpFilter(kRds) + "}";
  EXPECT_THAT(WhyNot(""), HasSubstr("must be one for TCP, one for HTTP, or one of each"));
  EXPECT_THAT(WhyNot(tcp + inspected + tcp), HasSubstr("one of each"));
  EXPECT_THAT(WhyNot(tcp + http), HasSubstr("filter_chains[1]: must have no transport_socket"));
  EXPECT_THAT(WhyNot(inspected), HasSubstr("filter_chains[0]: must have no transport_socket"));
  EXPECT_THAT(WhyNot(tcp + tcp), HasSubstr("filter_chains[1]: is a second chain for the same"));
  EXPECT_THAT(WhyNot("filter_chains { filter_chain_match { transport_protocol: \"tls\" } " +
                     std::string(kTcp) + "}"),
              HasSubstr("must have no transport_socket"));
}

constexpr char kMtls[] = R"(
  transport_socket { typed_config {
    [type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext] {
      require_client_certificate { value: true }
      common_tls_context { alpn_protocols: "countersign-h2"
        tls_certificate_sds_secret_configs { name: "default" }
        validation_context_sds_secret_config { name: "ROOTCA" } } } } })";

absl::StatusOr<InboundListener> Inbound(const std::string& chains) {
  envoy::config::listener::v3::Listener message;
  EXPECT_TRUE(
      google::protobuf::TextFormat::ParseFromString("name: \"inbound\" " + chains, &message))
      << chains;
  return TranslateInbound(message);
}
std::string MtlsHttp(const std::string& manager, const std::string& alpn = "countersign-h2") {
  return "filter_chains { filter_chain_match { transport_protocol: \"tls\" application_protocols: "
         "\"" +
         alpn + "\" } " + HttpFilter(manager) + kMtls + "}";
}
std::string Said(const std::string& protocol) {
  return "metadata { filter_metadata { key: \"countersign\" value { fields { key: \"protocol\" "
         "value { string_value: \"" +
         protocol + "\" } } } } }";
}

TEST(HttpTranslationTest, WhatAPortSpeaksFollowsFromMetadataOrElseFromItsChains) {
  const std::string port = "filter_chain_match { destination_port { value: 80 } } ";
  const auto speaks = [&](const std::string& chain) {
    const auto inbound = Inbound(MtlsHttp(kInline) + "filter_chains {" + port + chain + "}");
    EXPECT_TRUE(inbound.ok()) << inbound.status();
    return inbound.ok() ? inbound->policy.For(80).protocol : AppProtocol::kAuto;
  };
  EXPECT_EQ(speaks(kTcp), AppProtocol::kTcp);
  EXPECT_EQ(speaks(HttpFilter(kInline)), AppProtocol::kHttp1);
  EXPECT_EQ(speaks(HttpFilter(std::string(kInline) + "codec_type: HTTP2")), AppProtocol::kHttp2);
  EXPECT_EQ(speaks(HttpFilter(kInline) + Said("http2")), AppProtocol::kHttp2);
  EXPECT_EQ(speaks(HttpFilter(kInline) + Said("auto")), AppProtocol::kAuto);
  EXPECT_THAT(
      std::string(
          Inbound("filter_chains {" + std::string(kTcp) + Said("quic") + "}").status().message()),
      HasSubstr("all other ports: metadata.countersign.protocol: must be"));
}

TEST(HttpTranslationTest, InboundOptionsAreOneSet) {
  const auto inbound = Inbound(MtlsHttp(std::string(kInline) + "merge_slashes: true") +
                               "metadata { filter_metadata { key: \"countersign\" value { "
                               "fields { key: \"locality\" value { string_value: \"eu/a/1\" } } "
                               "fields { key: \"client_cert\" value { string_value: \"rfc9440\" } "
                               "} } } }");
  ASSERT_TRUE(inbound.ok()) << inbound.status();
  EXPECT_TRUE(inbound->http.merge_slashes);
  EXPECT_EQ(inbound->http.forward_client_cert, HttpOptions::ForwardClientCert::kRfc9440);
  EXPECT_EQ(inbound->locality, (Locality{"eu", "a", "1"}));
  EXPECT_EQ(inbound->cluster, "app");
  EXPECT_EQ(inbound->policy.fallback.mode, MtlsMode::kStrict);
  const auto why = [](const std::string& chains) {
    return std::string(Inbound(chains).status().message());
  };
  EXPECT_THAT(why(MtlsHttp(kInline) + MtlsHttp(std::string(kInline) + "merge_slashes: true")),
              HasSubstr("filter_chains[1]: says something else of HTTP"));
  EXPECT_THAT(why(MtlsHttp(kInline, "countersign")),
              HasSubstr("`countersign` is not honoured before a connection manager"));
  EXPECT_THAT(why(MtlsHttp(kRds)), HasSubstr("route_config: must be inline"));
  EXPECT_THAT(why(MtlsHttp("route_config { virtual_hosts { domains: \"a\" routes { match { "
                           "prefix: \"/\" } route { cluster: \"app\" } } } }")),
              HasSubstr("route_config: must be inline, one virtual host `*`"));
  EXPECT_THAT(why("filter_chains { filter_chain_match { transport_protocol: \"tls\" } " +
                  HttpFilter(kInline) + "}"),
              HasSubstr("cannot read foreign TLS"));
  EXPECT_THAT(why("filter_chains { filter_chain_match { application_protocols: \"h3\" } " +
                  HttpFilter(kInline) + "}"),
              HasSubstr("is not honoured on a chain without TLS"));
}

TEST(HttpTranslationTest, WhatTheMeshDoesNotKnowIsNotRead) {
  envoy::config::listener::v3::Listener message;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "name: \"outbound\" default_filter_chain {" + HttpFilter(kInline) + "}", &message));
  EXPECT_THAT(std::string(TranslateOutbound(message).status().message()),
              HasSubstr("must be a TCP proxy"));
}

}  // namespace
}  // namespace countersign::config
