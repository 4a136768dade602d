// Two workers on loopback, a client's and a server's sidecar: outbound and the tunnel.
#include "proxy/server/worker.h"

#include <cstdlib>
#include <future>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "proxy/server/worker_fixture.h"

namespace countersign::server {
namespace {

TEST(WorkerTest, TunnelsBytesBetweenTwoSidecars) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "hello"));
  EXPECT_EQ(ReadAll(fd, 5), "hello");
  shutdown(fd, SHUT_WR);
  EXPECT_EQ(ReadAll(fd), "");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_tcp_connections_closed_total{reporter=\"destination\""));
  EXPECT_NE(pair.ServerStats().find(kClientId), std::string::npos);
  EXPECT_NE(pair.ClientStats().find("connection_security_policy=\"mutual_tls\""),
            std::string::npos);
}

std::string Noise(size_t n) {
  std::string noise(n, '\0');
  uint32_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return noise;
}

TEST(WorkerTest, CarriesBulkBothWaysUnchanged) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  const std::string noise = Noise(48 << 20);
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(fd, noise));
    shutdown(fd, SHUT_WR);
  });
  const std::string back = ReadAll(fd);
  writer.join();
  EXPECT_EQ(back.size(), noise.size());
  EXPECT_TRUE(back == noise);
  close(fd);
}

TEST(WorkerTest, AReaderThatStopsStopsItsSender) {
  std::atomic<bool> go{false};
  std::atomic<size_t> got{0};
  Application application([&](int fd) {
    while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    got = ReadAll(fd).size();
    close(fd);
  });
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  // Far more than all windows and socket buffers on the way hold.
  timeval brief{0, 500'000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief);
  size_t sent = 0;
  const std::string part(1 << 20, 'x');
  for (;;) {
    const ssize_t n = send(fd, part.data(), part.size(), MSG_NOSIGNAL);
    if (n < 0) break;
    sent += static_cast<size_t>(n);
    ASSERT_LT(sent, size_t{128} << 20);
  }
  go = true;
  shutdown(fd, SHUT_WR);
  EXPECT_EQ(ReadAll(fd), "");
  EXPECT_EQ(got, sent);
  close(fd);
}

TEST(WorkerTest, TheServerMaySpeakFirst) {
  Application application([](int fd) {
    WriteAll(fd, "220 ready\r\n");
    Echo(fd);
  });
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd, 11), "220 ready\r\n");
  ASSERT_TRUE(WriteAll(fd, "EHLO"));
  EXPECT_EQ(ReadAll(fd, 4), "EHLO");
  close(fd);
}

TEST(WorkerTest, HalfCloseLeavesTheOtherDirectionOpen) {
  Application application([](int fd) {
    const std::string request = ReadAll(fd);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    WriteAll(fd, "got " + std::to_string(request.size()));
    close(fd);
  });
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, std::string(1000, 'q')));
  shutdown(fd, SHUT_WR);
  EXPECT_EQ(ReadAll(fd), "got 1000");
  close(fd);
}

TEST(WorkerTest, AResetOfTheServerReachesTheClient) {
  Application application([](int fd) {
    ReadAll(fd, 1);
    ResetOnClose(fd);
  });
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "x"));
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
}

TEST(WorkerTest, AResetOfTheClientReachesTheServer) {
  std::string seen;
  std::mutex mutex;
  Application application([&](int fd) {
    const std::string all = ReadAll(fd);
    std::lock_guard lock(mutex);
    seen = all;
    close(fd);
  });
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "x"));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ResetOnClose(fd);
  EXPECT_TRUE(Eventually(
      [&] {
        std::lock_guard lock(mutex);
        return seen;
      },
      "x<" + std::to_string(ECONNRESET) + ">"));
}

TEST(WorkerTest, AConnectFailureBehindTheTunnelIsAResetWithAReason) {
  const net::Address nobody = Local(FreePort());
  Pair pair(nobody);
  pair.Ready();
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); },
                         "countersign_outbound_refused_total{reason=\"tunnel_refused\""));
  EXPECT_NE(pair.ServerStats().find("reason=\"connect_refused\""), std::string::npos);
}

TEST(WorkerTest, HoldsConnectionsUntilIdentityAndConfigurationCome) {
  Application application(Echo);
  Pair pair(application.address());
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "early"));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  pair.Configure();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  pair.Identify();
  EXPECT_EQ(ReadAll(fd, 5), "early");
  close(fd);
}

TEST(WorkerTest, HoldingEndsWithAResetAndAReason) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Configure();
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); }, "reason=\"hold_timeout\""));
}

TEST(WorkerTest, AnotherIdentityThanTheExpectedOneIsRefused) {
  Application application(Echo);
  Pair pair(application.address());
  pair.discovery().Set(application.address(), Hbone(application.address(), pair.tunnel(),
                                                    "spiffe://cluster.local/ns/default/sa/other"));
  pair.Ready();
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); },
                         "countersign_tls_handshake_failures_total{role=\"client\",reason=\"verify_"
                         "unexpected_id\"}"));
}

TEST(WorkerTest, AClientOfAForeignTrustDomainIsRefused) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  TestAuthority foreign("evil.example");
  auto secret = SecretOf(foreign, "spiffe://evil.example/ns/default/sa/client", 2);
  // It knows the mesh's bundle, the mesh does not know its.
  auto mutated = std::const_pointer_cast<identity::SecretSnapshot>(secret);
  mutated->bundles = pair.authority().bundles();
  pair.client().OnSecret(mutated);
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "role=\"server\",reason=\"verify_unknown_trust_domain\""));
  EXPECT_TRUE(
      Eventually([&] { return pair.ClientStats(); },
                 "countersign_tls_handshake_failures_total{role=\"client\",reason=\"alert_"));
}

TEST(WorkerTest, ADenyListClosesLiveTunnels) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "a"));
  EXPECT_EQ(ReadAll(fd, 1), "a");
  auto deny = std::make_shared<spiffe::DenyList>(2);
  deny->AddId(*spiffe::SpiffeId::Parse(kClientId));
  pair.server().OnSecret(SecretOf(pair.authority(), kServerId, 2, deny));
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
  const int again = pair.Connect();
  EXPECT_EQ(ReadAll(again), "<" + std::to_string(ECONNRESET) + ">");
  close(again);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); }, "reason=\"verify_denied\""));
}

TEST(WorkerTest, RotationBreaksNoTransfer) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  const std::string noise = Noise(64 << 20);
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(fd, noise));
    shutdown(fd, SHUT_WR);
  });
  std::atomic<bool> stop{false};
  std::thread rotator([&] {
    for (uint64_t generation = 2; !stop; ++generation) {
      pair.client().OnSecret(SecretOf(pair.authority(), kClientId, generation));
      pair.server().OnSecret(SecretOf(pair.authority(), kServerId, generation));
      // New connections go over new tunnels meanwhile.
      const int other = pair.Connect();
      EXPECT_TRUE(WriteAll(other, "ping"));
      EXPECT_EQ(ReadAll(other, 4), "ping");
      close(other);
    }
  });
  const std::string back = ReadAll(fd);
  writer.join();
  stop = true;
  rotator.join();
  EXPECT_TRUE(back == noise);
  close(fd);
}

TEST(WorkerTest, ATunnelLeadsToItsOwnWorkloadOnly) {
  Application application(Echo);
  Pair pair(application.address());
  pair.discovery().Set(application.address(),
                       Hbone(*net::Address::Parse("192.0.2.1:80"), pair.tunnel()));
  pair.Ready();
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_inbound_refused_total{reason=\"policy_refused\""));
}

TEST(WorkerTest, ATunnelDoesNotLeadToTheProxyItself) {
  Application application(Echo);
  Pair pair(application.address());
  pair.discovery().Set(application.address(), Hbone(pair.tunnel(), pair.tunnel()));
  pair.Ready();
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
}

TEST(WorkerTest, ServesManyConnectionsAtOnce) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  std::vector<int> fds;
  for (int i = 0; i < 300; ++i) fds.push_back(pair.Connect());
  for (size_t i = 0; i < fds.size(); ++i) ASSERT_TRUE(WriteAll(fds[i], std::to_string(1000 + i)));
  for (size_t i = 0; i < fds.size(); ++i) EXPECT_EQ(ReadAll(fds[i], 4), std::to_string(1000 + i));
  // Of at most 100 streams each, and of one while they fit.
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_tunnels{direction=\"inbound\"} 3"));
  std::promise<std::vector<ConnectionInfo>> promise;
  pair.server().CollectConnections(
      1000, [&](std::vector<ConnectionInfo> found) { promise.set_value(std::move(found)); });
  const std::vector<ConnectionInfo> connections = promise.get_future().get();
  ASSERT_EQ(connections.size(), 300);
  EXPECT_EQ(connections[0].peer_id, kClientId);
  EXPECT_EQ(connections[0].state, "open");
  for (const int fd : fds) close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_connections_active{direction=\"inbound\"} 0"));
}

TEST(WorkerTest, TheNewestIsRefusedBeyondTheLimit) {
  Application application(Echo);
  TableDiscovery discovery;
  stats::Registry stats;
  WorkerOptions options;
  const net::Address front = Local(FreePort());
  options.forwards = {{front, application.address()}};
  options.max_connections = 2;
  Worker worker(options, discovery, stats);
  discovery.set_sink(&worker);
  auto unknown = std::make_shared<Destination>();
  discovery.Set(application.address(), unknown);
  ASSERT_TRUE(worker.Start().ok());
  auto config = std::make_shared<config::ProxyConfig>();
  config->outbound.mode = config::OutboundPolicy::Mode::kAllowAny;
  worker.OnProxyConfig(config);
  const int one = Dial(front), two = Dial(front);
  ASSERT_TRUE(WriteAll(one, "1"));
  ASSERT_TRUE(WriteAll(two, "2"));
  EXPECT_EQ(ReadAll(one, 1), "1");
  EXPECT_EQ(ReadAll(two, 1), "2");
  const int three = Dial(front);
  EXPECT_EQ(ReadAll(three), "<" + std::to_string(ECONNRESET) + ">");
  close(three);
  close(two);
  EXPECT_TRUE(Eventually([&] { return stats.Serialize(); },
                         "countersign_connections_active{direction=\"outbound\"} 1"));
  const int four = Dial(front);
  ASSERT_TRUE(WriteAll(four, "4"));
  EXPECT_EQ(ReadAll(four, 1), "4");
  close(four);
  // Passthrough ends when policy stops allowing it.
  worker.OnProxyConfig(ConfigOf(MtlsMode::kStrict));
  EXPECT_EQ(ReadAll(one), "<" + std::to_string(ECONNRESET) + ">");
  close(one);
  EXPECT_NE(stats.Serialize().find("countersign_overload_total{limit=\"connections\"} 1"),
            std::string::npos);
}

TEST(WorkerTest, AHostThatDoesNotAnswerIsPassedOver) {
  Application application(Echo);
  Pair pair(application.address());
  auto destination =
      std::make_shared<Destination>(*Hbone(application.address(), Local(FreePort())));
  auto cluster = std::make_shared<config::Cluster>(*destination->cluster);
  cluster->endpoints.push_back(Hbone(application.address(), pair.tunnel())->cluster->endpoints[0]);
  destination->cluster = cluster;
  pair.discovery().Set(application.address(), destination);
  pair.Ready();
  for (int i = 0; i < 10; ++i) {
    const int fd = pair.Connect();
    ASSERT_TRUE(WriteAll(fd, "x"));
    EXPECT_EQ(ReadAll(fd, 1), "x");
    close(fd);
  }
}

TEST(WorkerTest, ServesIpv6) {
  Application application(Echo);
  TableDiscovery discovery;
  stats::Registry stats;
  WorkerOptions options;
  const net::Address front = *net::Address::Parse("[::1]:" + std::to_string(FreePort()));
  options.forwards = {{front, application.address()}};
  Worker worker(options, discovery, stats);
  discovery.set_sink(&worker);
  discovery.Set(application.address(), std::make_shared<Destination>());
  ASSERT_TRUE(worker.Start().ok());
  auto config = std::make_shared<config::ProxyConfig>();
  config->outbound.mode = config::OutboundPolicy::Mode::kAllowAny;
  worker.OnProxyConfig(config);
  const int fd = Dial(front);
  ASSERT_TRUE(WriteAll(fd, "six"));
  EXPECT_EQ(ReadAll(fd, 3), "six");
  close(fd);
}

TEST(WorkerTest, AnAnswerBeforeAResetArrives) {
  Application application([](int fd) {
    ReadAll(fd, 1);
    WriteAll(fd, "413 too large");
    ResetOnClose(fd);
  });
  Pair pair(application.address());
  pair.Ready();
  int whole = 0;
  for (int i = 0; i < 20; ++i) {
    const int fd = pair.Connect();
    ASSERT_TRUE(WriteAll(fd, "x"));
    // TCP itself may drop the answer on either hop; what must not happen is that it never arrives.
    if (ReadAll(fd).find("413 too large") == 0) ++whole;
    close(fd);
  }
  EXPECT_GT(whole, 0);
}

TEST(WorkerTest, DrainLetsWhatRunsFinish) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "a"));
  EXPECT_EQ(ReadAll(fd, 1), "a");
  std::atomic<bool> drained{false};
  pair.server().StartDrain([&] { drained = true; });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_TRUE(WriteAll(fd, "b"));
  EXPECT_EQ(ReadAll(fd, 1), "b");
  EXPECT_FALSE(drained);
  // A straggler is still served.
  const int late = pair.Connect();
  ASSERT_TRUE(WriteAll(late, "c"));
  EXPECT_EQ(ReadAll(late, 1), "c");
  close(late);
  close(fd);
  EXPECT_TRUE(Eventually([&] { return std::string(drained ? "drained" : ""); }, "drained"));
}

}  // namespace
}  // namespace countersign::server
