// What two sidecars tell of the requests between them: metrics, access log, spans, clusters; and
// what the application is told of its caller.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/access_log/access_log.h"
#include "proxy/server/worker_http_fixture.h"
#include "proxy/trace/span.h"

namespace countersign::server {
namespace {

constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

size_t SeriesOf(const std::string& page) {
  return static_cast<size_t>(std::count(page.begin(), page.end(), '\n'));
}

// Asks, and waits for the answer.
HttpMessage Exchange(int fd, HttpReader& reader, const std::string& request) {
  EXPECT_TRUE(WriteAll(fd, request));
  return reader.Read();
}

TEST(WorkerObservationTest, NothingThatAClientChoosesMakesASeries) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_EQ(Exchange(fd, reader, "GET / HTTP/1.1\r\nHost: server\r\n\r\n").status(), 200);
  ASSERT_TRUE(Eventually([&] { return pair.ClientStats(); }, "countersign_requests_total{"));
  ASSERT_TRUE(Eventually([&] { return pair.ServerStats(); }, "countersign_requests_total{"));
  const size_t client_series = SeriesOf(pair.ClientStats());
  const size_t server_series = SeriesOf(pair.ServerStats());
  constexpr int kRequests = 10'000;
  constexpr int kBatch = 100;
  for (int i = 0; i < kRequests; i += kBatch) {
    std::string batch;
    for (int n = i; n < i + kBatch; ++n) {
      const std::string number = std::to_string(n);
      batch += "M" + number + " /path/" + number + "?q=" + number + " HTTP/1.1\r\nHost: h" +
               number + ".example\r\nUser-Agent: agent-" + number + "\r\nX-Request-Id: id-" +
               number + "\r\n\r\n";
    }
    ASSERT_TRUE(WriteAll(fd, batch));
    for (int n = 0; n < kBatch; ++n) ASSERT_EQ(reader.Read().status(), 200);
  }
  close(fd);
  ASSERT_TRUE(Eventually([&] { return pair.ClientStats(); }, "response_flags=\"-\"} 10001\n"));
  ASSERT_TRUE(Eventually([&] { return pair.ServerStats(); }, "response_flags=\"-\"} 10001\n"));
  EXPECT_EQ(SeriesOf(pair.ClientStats()), client_series);
  EXPECT_EQ(SeriesOf(pair.ServerStats()), server_series);
}

class Collected final : public trace::SpanSink {
 public:
  void Submit(trace::Span span) override {
    std::lock_guard<std::mutex> lock(mutex_);
    spans_.push_back(std::move(span));
  }
  std::vector<trace::Span> spans() {
    std::lock_guard<std::mutex> lock(mutex_);
    return spans_;
  }

 private:
  std::mutex mutex_;
  std::vector<trace::Span> spans_;
};

TEST(WorkerObservationTest, ASampledRequestHasASpanAtEachSidecarInOneTrace) {
  Collected collected;
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kAuto, MtlsMode::kStrict,
                [&](WorkerOptions& options) { options.span_sink = &collected; });
  const int fd = pair.Connect();
  HttpReader reader(fd);
  const HttpMessage response =
      Exchange(fd, reader,
               std::string("GET /a?token=secret HTTP/1.1\r\nHost: server\r\ntraceparent: ") +
                   kTraceparent + "\r\n\r\n");
  ASSERT_EQ(response.status(), 200);
  close(fd);
  ASSERT_TRUE(Eventually([&] { return std::to_string(collected.spans().size()); }, "2"));
  std::vector<trace::Span> spans = collected.spans();
  if (spans[0].kind == trace::Span::Kind::kServer) std::swap(spans[0], spans[1]);
  EXPECT_EQ(spans[0].kind, trace::Span::Kind::kClient);
  EXPECT_EQ(spans[0].parent_span_id[1], 0xf0);  // the application's
  EXPECT_EQ(spans[1].kind, trace::Span::Kind::kServer);
  EXPECT_EQ(spans[1].parent_span_id, spans[0].context.span_id);
  EXPECT_EQ(spans[1].context.trace_id, spans[0].context.trace_id);
  EXPECT_EQ(spans[0].context.trace_id[0], 0x4b);
  EXPECT_LE(spans[0].start, spans[0].end);
  for (const auto& [name, value] : spans[0].attributes) {
    EXPECT_EQ(value.find("secret"), std::string::npos) << name;
  }
  // The server's application continues the trace from its own sidecar.
  EXPECT_NE(response.body.find("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"),
            std::string::npos);
  EXPECT_EQ(response.body.find("00f067aa0ba902b7"), std::string::npos);
}

TEST(WorkerObservationTest, ARequestIsALineInTheLogOfEachSidecar) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/access.log";
  stats::Registry stats;
  auto log = access_log::AccessLog::Open({.path = path, .format = {}}, stats);
  ASSERT_TRUE(log.ok()) << log.status();
  Application application(HttpServer(Mirror));
  {
    HttpPair pair(application.address(), config::AppProtocol::kAuto, MtlsMode::kStrict,
                  [&](WorkerOptions& options) { options.access_log = log->get(); });
    const int fd = pair.Connect();
    HttpReader reader(fd);
    ASSERT_EQ(Exchange(fd, reader,
                       std::string("GET /a?b=\"c\" HTTP/1.1\r\nHost: server\r\nUser-Agent: e\xFF"
                                   "vil\"\r\ntraceparent: ") +
                           kTraceparent + "\r\n\r\n")
                  .status(),
              200);
    close(fd);
    ASSERT_TRUE(Eventually([&] { return pair.ServerStats(); }, "countersign_requests_total{"));
    ASSERT_TRUE(Eventually([&] { return pair.ClientStats(); }, "countersign_requests_total{"));
  }
  (*log)->Flush();
  std::ifstream file(path);
  int inbound = 0;
  int outbound = 0;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json parsed = nlohmann::json::parse(line);
    if (!parsed.contains("path")) continue;
    const bool at_server = parsed["direction"] == "inbound";
    ++(at_server ? inbound : outbound);
    EXPECT_EQ(parsed["protocol"], at_server ? "HTTP/2" : "HTTP/1.1");
    EXPECT_EQ(parsed["path"], "/a?b=\"c\"");
    EXPECT_EQ(parsed["user_agent"], "e\xEF\xBF\xBDvil\"");
    EXPECT_EQ(parsed["status"], 200);
    EXPECT_EQ(parsed["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_EQ(parsed["peer_principal"], at_server ? kClientId : kServerId);
    EXPECT_EQ(parsed["attempts"], 1);
  }
  EXPECT_EQ(outbound, 1);
  EXPECT_EQ(inbound, 1);
}

TEST(WorkerObservationTest, AWorkerTellsOfItsClustersAndTheirLimits) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_EQ(Exchange(fd, reader, "GET / HTTP/1.1\r\nHost: server\r\n\r\n").status(), 200);
  std::promise<std::vector<admin::ClusterInfo>> told;
  pair.client().CollectClusters(
      [&](std::vector<admin::ClusterInfo> clusters) { told.set_value(std::move(clusters)); });
  const std::vector<admin::ClusterInfo> clusters = told.get_future().get();
  ASSERT_EQ(clusters.size(), 1u);
  ASSERT_EQ(clusters[0].hosts.size(), 1u);
  EXPECT_EQ(clusters[0].hosts[0].endpoint.identity.ToString(), kServerId);
  EXPECT_EQ(clusters[0].hosts[0].requests, 1u);
  EXPECT_EQ(clusters[0].hosts[0].connections_opened, 1u);
  ASSERT_EQ(clusters[0].limits.size(), 4u);
  EXPECT_EQ(clusters[0].limits[0].count, 1u);
  close(fd);
}

TEST(WorkerObservationTest, TheApplicationGetsTheCallersCertificateAndItsPathAsRfc9440Says) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  pair.ConfigureHttp(MtlsMode::kStrict,
                     {.forward_client_cert = config::HttpOptions::ForwardClientCert::kRfc9440});
  const auto bytes = [](absl::string_view der) {
    return absl::StrCat(":", absl::Base64Escape(der), ":");
  };
  const auto count = [](const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
  };
  // Signed by the root itself, then through two intermediates.
  const TestAuthority first = pair.authority().Intermediate();
  const TestAuthority second = first.Intermediate();
  const std::string path = absl::StrCat(
      "\r\nclient-cert-chain: ", bytes(spiffe::testing::CertificateToDer(second.certificate())),
      ", ", bytes(spiffe::testing::CertificateToDer(first.certificate())), "\r\n");
  for (const TestAuthority* authority : {&pair.authority(), &second}) {
    const auto secret = SecretOf(*authority, kClientId, authority == &second ? 3 : 2);
    pair.client().OnSecret(secret);
    const int fd = pair.Connect();
    HttpReader reader(fd);
    for (int request = 0; request < 2; ++request) {
      const std::string seen =
          Exchange(fd, reader,
                   "GET / HTTP/1.1\r\nHost: server\r\nClient-Cert: :AAAA:\r\n"
                   "Client-Cert-Chain: :BBBB:\r\nClient-Cert-Chain: :CCCC:\r\n\r\n")
              .body;
      const std::string leaf = spiffe::testing::CertificateToDer(secret->chain[0].get());
      EXPECT_EQ(count(seen, absl::StrCat("\r\nclient-cert: ", bytes(leaf), "\r\n")), 1u) << seen;
      EXPECT_EQ(count(seen, "client-cert: "), 1u) << seen;
      EXPECT_EQ(count(seen, "client-cert-chain: "), authority == &second ? 1u : 0u) << seen;
      EXPECT_EQ(count(seen, path), authority == &second ? 1u : 0u) << seen;
      EXPECT_EQ(count(seen, "x-forwarded-client-cert"), 0u) << seen;
    }
    close(fd);
  }
}

// The pair's destination with this one route. `mirror` may be null.
std::shared_ptr<const Destination> WithRoute(const HttpPair& pair, config::Route route,
                                             std::shared_ptr<const config::Cluster> mirror) {
  const auto plain = WithRoutes(Hbone(pair.captured(), net::Address()));
  auto destination = std::make_shared<Destination>(*plain);
  auto routes = std::make_shared<config::RouteConfiguration>(*plain->routes);
  route.forward.clusters = routes->virtual_hosts[0].routes[0].forward.clusters;
  route.forward.total_weight = 1;
  routes->virtual_hosts[0].routes = {std::move(route)};
  destination->routes = std::move(routes);
  if (mirror != nullptr) destination->route_clusters.push_back(std::move(mirror));
  return destination;
}

TEST(WorkerObservationTest, RetriesCopiesAndFaultsAreCountedWhereTheyHappen) {
  std::atomic<int> asked{0};
  Application application(HttpServer([&asked](const HttpMessage&) {
    return ++asked == 1 ? std::string("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
                        : Response("well");
  }));
  Application other(HttpServer(Mirror));
  HttpPair pair(application.address());
  auto copies = std::make_shared<config::Cluster>();
  copies->name = "default/copies";
  copies->protocol = config::AppProtocol::kHttp1;
  Endpoint endpoint;
  endpoint.address = other.address();
  endpoint.transport = EndpointTransport::kPlaintext;
  copies->endpoints.push_back(endpoint);
  config::Route route;
  route.name = "counted";
  route.forward.retry = {.on = config::RetryPolicy::k5xx, .num_retries = 2};
  route.forward.mirrors = {{.cluster = copies->name}};
  route.fault = {.delay_per_million = 1'000'000, .delay = std::chrono::milliseconds(1)};
  pair.discovery().Set(application.address(), WithRoute(pair, route, copies));
  const int fd = pair.Connect();
  HttpReader reader(fd);
  EXPECT_EQ(Exchange(fd, reader, "GET / HTTP/1.1\r\nHost: server\r\n\r\n").body, "well");
  EXPECT_EQ(asked, 2);
  for (const char* counted :
       {"countersign_cluster_retries_total{cluster=\"default/server\"} 1\n",
        "countersign_cluster_retries_succeeded_total{cluster=\"default/server\"} 1\n",
        "countersign_cluster_mirrored_requests_total{cluster=\"default/copies\",result=\"sent\"} "
        "1\n",
        "countersign_cluster_faults_injected_total{cluster=\"default/server\",fault=\"delay\"} "
        "1\n"}) {
    EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); }, counted));
  }
  close(fd);
  // The far sidecar has done nothing of the kind.
  for (const char* family : {"countersign_cluster_retries", "countersign_cluster_mirrored",
                             "countersign_cluster_faults"}) {
    EXPECT_EQ(pair.ServerStats().find(family), std::string::npos) << family;
  }
}

TEST(WorkerObservationTest, AnAbortOnPurposeIsCountedForTheDestinationThatWasCalled) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  config::Route route;
  route.name = "aborted";
  route.fault = {.abort_per_million = 1'000'000, .abort_status = 418};
  pair.discovery().Set(application.address(), WithRoute(pair, route, nullptr));
  const int fd = pair.Connect();
  HttpReader reader(fd);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Exchange(fd, reader, "GET / HTTP/1.1\r\nHost: server\r\n\r\n").status(), 418);
  }
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); },
                         "countersign_cluster_faults_injected_total{cluster=\"default/server\","
                         "fault=\"abort\"} 3\n"));
  close(fd);
}

}  // namespace
}  // namespace countersign::server
