// What bounds TCP connections between two sidecars: a cluster's circuit breaker, and the life of
// the certificates that they were made with.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proxy/access_log/access_log.h"
#include "proxy/server/worker_http_fixture.h"

namespace countersign::server {
namespace {

const std::string kReset = "<" + std::to_string(ECONNRESET) + ">";

// The same with these limits on its cluster.
std::shared_ptr<const Destination> Limited(const std::shared_ptr<const Destination>& destination,
                                           uint32_t max_connections,
                                           std::chrono::milliseconds connect_timeout) {
  auto cluster = std::make_shared<config::Cluster>(*destination->cluster);
  cluster->breakers.max_connections = max_connections;
  cluster->connect_timeout = connect_timeout;
  auto limited = std::make_shared<Destination>(*destination);
  limited->cluster = cluster;
  if (!limited->route_clusters.empty()) limited->route_clusters = {cluster};
  return limited;
}

std::shared_ptr<const Destination> Reached(const Pair& pair, const net::Address& application,
                                           EndpointTransport transport) {
  if (transport == EndpointTransport::kHbone) return Hbone(application, pair.tunnel());
  auto direct = std::make_shared<Destination>(*Hbone(pair.captured(), net::Address()));
  if (transport == EndpointTransport::kTls) return direct;
  auto cluster = std::make_shared<config::Cluster>(*direct->cluster);
  cluster->endpoints[0].transport = EndpointTransport::kPlaintext;
  cluster->endpoints[0].address = application;
  direct->cluster = cluster;
  return direct;
}

// Of the only cluster that the client's sidecar uses.
std::string Connections(Pair& pair) {
  std::promise<std::vector<admin::ClusterInfo>> told;
  pair.client().CollectClusters(
      [&](std::vector<admin::ClusterInfo> clusters) { told.set_value(std::move(clusters)); });
  const std::vector<admin::ClusterInfo> clusters = told.get_future().get();
  return clusters.size() == 1 ? std::to_string(clusters[0].limits[0].count) + " connections" : "";
}

void ExpectEcho(int fd, const std::string& text) {
  EXPECT_TRUE(WriteAll(fd, text));
  EXPECT_EQ(ReadAll(fd, text.size()), text);
}

TEST(WorkerTcpLimitsTest, WhatIsBeyondAClustersLimitIsRefusedAndExplainedHoweverItIsCarried) {
  for (const EndpointTransport transport :
       {EndpointTransport::kHbone, EndpointTransport::kTls, EndpointTransport::kPlaintext}) {
    const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/access-" +
                             std::to_string(static_cast<int>(transport)) + ".log";
    stats::Registry stats;
    auto log = access_log::AccessLog::Open({.path = path, .format = {}}, stats);
    ASSERT_TRUE(log.ok()) << log.status();
    Application application(Echo);
    {
      Pair pair(application.address(),
                [&](WorkerOptions& options) { options.access_log = log->get(); });
      pair.discovery().Set(
          application.address(),
          Limited(Reached(pair, application.address(), transport), 2, std::chrono::seconds(5)));
      pair.Ready();
      const int one = pair.Connect();
      ExpectEcho(one, "1");
      const int two = pair.Connect();
      ExpectEcho(two, "2");
      const int three = pair.Connect();
      EXPECT_EQ(ReadAll(three), kReset);
      close(three);
      const std::string page = pair.ClientStats();
      EXPECT_NE(page.find("countersign_cluster_overflow_total{cluster=\"default/server\",breaker="
                          "\"connections\"} 1"),
                std::string::npos);
      EXPECT_NE(page.find("countersign_outbound_refused_total{reason=\"upstream_overflow\""),
                std::string::npos);
      // A connection that ends in order makes room, and so does one that is reset.
      shutdown(one, SHUT_WR);
      EXPECT_EQ(ReadAll(one), "");
      close(one);
      ResetOnClose(two);
      EXPECT_TRUE(Eventually([&] { return Connections(pair); }, "0 connections"));
      const int four = pair.Connect();
      ExpectEcho(four, "4");
      EXPECT_EQ(Connections(pair), "1 connections");
      close(four);
      EXPECT_TRUE(Eventually([&] { return Connections(pair); }, "0 connections"));
    }
    (*log)->Flush();
    std::ifstream file(path);
    int refused = 0;
    for (std::string line; std::getline(file, line);) {
      const nlohmann::json parsed = nlohmann::json::parse(line);
      if (parsed["response_flags"] != "UO") continue;
      ++refused;
      EXPECT_EQ(parsed["reason"], "upstream_overflow");
      EXPECT_EQ(parsed["direction"], "outbound");
      EXPECT_EQ(parsed["destination"], application.address().ToString());
      EXPECT_EQ(parsed["upstream"], "");
    }
    EXPECT_EQ(refused, 1);
  }
}

TEST(WorkerTcpLimitsTest, AConnectionThatCannotBeMadeGivesItsPlaceToTheNextTry) {
  const net::Address application = Local(FreePort());
  Pair pair(application);
  auto destination =
      std::make_shared<Destination>(*Reached(pair, application, EndpointTransport::kPlaintext));
  auto cluster = std::make_shared<config::Cluster>(*destination->cluster);
  cluster->endpoints.push_back(cluster->endpoints[0]);
  cluster->endpoints[1].address = Local(FreePort());  // nobody is there either
  destination->cluster = cluster;
  pair.discovery().Set(application, Limited(destination, 1, std::chrono::seconds(5)));
  pair.Ready();
  for (int i = 0; i < 3; ++i) {
    const int fd = pair.Connect();
    EXPECT_EQ(ReadAll(fd), kReset);
    close(fd);
  }
  EXPECT_TRUE(Eventually([&] { return Connections(pair); }, "0 connections"));
  EXPECT_NE(pair.ClientStats().find("reason=\"connect_refused\""), std::string::npos);
  EXPECT_EQ(pair.ClientStats().find("countersign_cluster_overflow_total{"), std::string::npos);
}

TEST(WorkerTcpLimitsTest, WhoIsSilentIsGivenTimeToSpeakHttpWhichNeedsNoConnectionOfItsOwn) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  pair.discovery().Set(application.address(),
                       Limited(pair.DestinationWith({}), 1, std::chrono::milliseconds(400)));
  const std::string get = "GET / HTTP/1.1\r\nHost: server\r\n\r\n";
  const int one = pair.Connect();
  HttpReader reader(one);
  ASSERT_TRUE(WriteAll(one, get));
  ASSERT_EQ(reader.Read().status(), 200);
  EXPECT_EQ(Connections(pair), "1 connections");  // stays in the pool
  const int late = pair.Connect();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_TRUE(WriteAll(late, get));
  HttpReader late_reader(late);
  EXPECT_EQ(late_reader.Read().status(), 200);
  // TCP does need one, whether it speaks or waits for the server to.
  const int tcp = pair.Connect();
  ASSERT_TRUE(WriteAll(tcp, "\x01\x02\x03"));
  EXPECT_EQ(ReadAll(tcp), kReset);
  const int silent = pair.Connect();
  EXPECT_EQ(ReadAll(silent), kReset);
  EXPECT_NE(pair.ClientStats().find("countersign_cluster_overflow_total{cluster=\"default/server\","
                                    "breaker=\"connections\"} 2"),
            std::string::npos);
  for (const int fd : {one, late, tcp, silent}) close(fd);
}

// A whole second, as certificates have it, some time ahead.
absl::Time Soon() {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now() + absl::Seconds(3)));
}

void WithGrace(WorkerOptions& options) { options.expiry_grace = std::chrono::seconds(3); }

void SleepUntil(absl::Time time) { absl::SleepFor(time - absl::Now()); }

std::shared_ptr<const identity::SecretSnapshot> SecretUntil(const Pair& pair, const std::string& id,
                                                            absl::Time not_after) {
  return SecretOf(pair.authority(), id, 1, std::make_shared<spiffe::DenyList>(1), not_after);
}

TEST(WorkerTcpLimitsTest, AConnectionOutlivesThePeersCertificateByTheGraceAndNoLonger) {
  // Whose certificate ends, and how the connection is carried.
  struct Case {
    bool client_ends;
    EndpointTransport transport;
    std::unique_ptr<Pair> pair;
    int fd = -1;
  };
  Application application(Echo);
  const absl::Time end = Soon();
  const absl::Time never = absl::Now() + absl::Hours(1);
  std::vector<Case> cases;
  for (const bool client_ends : {true, false}) {
    for (const auto transport : {EndpointTransport::kHbone, EndpointTransport::kTls}) {
      auto pair = std::make_unique<Pair>(application.address(), WithGrace);
      pair->discovery().Set(application.address(),
                            Reached(*pair, application.address(), transport));
      pair->Configure();
      pair->client().OnSecret(SecretUntil(*pair, kClientId, client_ends ? end : never));
      pair->server().OnSecret(SecretUntil(*pair, kServerId, client_ends ? never : end));
      const int fd = pair->Connect();
      ExpectEcho(fd, "before");
      cases.push_back({client_ends, transport, std::move(pair), fd});
    }
  }
  ASSERT_LT(absl::Now(), end);
  SleepUntil(end + absl::Milliseconds(200));
  for (const Case& one : cases) ExpectEcho(one.fd, "after");
  for (const Case& one : cases) {
    EXPECT_EQ(ReadAll(one.fd), kReset);
    EXPECT_GT(absl::Now(), end + absl::Milliseconds(2900));
    close(one.fd);
    // Each end judges by the other's certificate.
    EXPECT_TRUE(Eventually(
        [&] { return one.client_ends ? one.pair->ServerStats() : one.pair->ClientStats(); },
        std::string("countersign_") + (one.client_ends ? "inbound" : "outbound") +
            "_refused_total{reason=\"expired\""));
  }
  EXPECT_LT(absl::Now(), end + absl::Seconds(6));
}

TEST(WorkerTcpLimitsTest, ARequestFinishesWithinTheGraceAndIsBrokenOffBehindIt) {
  const absl::Time end = Soon();
  Application application(HttpServer([&](const HttpMessage& request) {
    SleepUntil(request.start_line.find("/slow") == std::string::npos ? end + absl::Milliseconds(500)
                                                                     : end + absl::Seconds(5));
    return Response("answer");
  }));
  HttpPair pair(application.address(), config::AppProtocol::kAuto, MtlsMode::kStrict, WithGrace);
  pair.client().OnSecret(SecretUntil(pair, kClientId, end));
  const int quick = pair.Connect();
  const int slow = pair.Connect();
  ASSERT_TRUE(WriteAll(quick, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"));
  ASSERT_TRUE(WriteAll(slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"));
  HttpReader quick_reader(quick);
  EXPECT_EQ(quick_reader.Read().body, "answer");
  EXPECT_GT(absl::Now(), end);
  HttpReader slow_reader(slow);
  EXPECT_EQ(slow_reader.Read().status(), 503);
  EXPECT_LT(absl::Now(), end + absl::Seconds(5));
  EXPECT_NE(pair.ServerStats().find("countersign_inbound_refused_total{reason=\"expired\""),
            std::string::npos);
  close(quick);
  close(slow);
}

}  // namespace
}  // namespace countersign::server
