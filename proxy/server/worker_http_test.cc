// HTTP/1.1 through two sidecars.
#include <future>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "proxy/server/worker_http_fixture.h"

namespace countersign::server {
namespace {

const std::string kGet = "GET /a?b=c HTTP/1.1\r\nHost: server\r\n\r\n";

TEST(WorkerHttpTest, RequestsTravelOneByOneOnAKeptConnection) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(WriteAll(fd, kGet));
    const HttpMessage response = reader.Read();
    ASSERT_EQ(response.status(), 200) << response.start_line << response.headers << response.body;
    EXPECT_TRUE(response.complete);
    EXPECT_EQ(response.body.find("GET /a?b=c HTTP/1.1\nhost: server\r\n"), 0u) << response.body;
  }
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_http_connections_total{direction=\"inbound\",protocol="
                         "\"HTTP/2\"} 1"));
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); },
                         "countersign_http_connections_total{direction=\"outbound\",protocol="
                         "\"HTTP/1.1\"} 1"));
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); }, "countersign_requests_total"));
  EXPECT_NE(pair.ServerStats().find(kClientId), std::string::npos);
}

TEST(WorkerHttpTest, ARequestThatNamesNoHostGoesToTheAddressThatWasCalled) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, "GET /old HTTP/1.0\r\n\r\n"));
  const HttpMessage response = reader.Read();
  EXPECT_EQ(response.status(), 200) << response.start_line << response.headers << response.body;
  EXPECT_EQ(response.body.find("GET /old HTTP/1.1\nhost: "), 0u) << response.body;
  close(fd);
}

TEST(WorkerHttpTest, TheApplicationLearnsWhoCallsAndNothingThatTheCallerClaims) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(
      WriteAll(fd,
               "GET / HTTP/1.1\r\nHost: server\r\nX-Forwarded-Client-Cert: By=me;URI=you\r\n"
               "client-cert: :AA==:\r\nx-countersign-downstream-protocol: HTTP/2\r\n"
               "x-countersign-flags: UH\r\nx-request-id: mine\r\n\r\n"));
  const HttpMessage response = reader.Read();
  ASSERT_EQ(response.status(), 200);
  EXPECT_EQ(response.body.find("By=me"), std::string::npos) << response.body;
  EXPECT_EQ(response.body.find("client-cert: :"), std::string::npos);
  EXPECT_EQ(response.body.find("x-countersign"), std::string::npos);
  EXPECT_NE(response.body.find(std::string("x-forwarded-client-cert: By=") + kServerId + ";Hash="),
            std::string::npos);
  EXPECT_NE(response.body.find(std::string(";Subject=\"\";URI=") + kClientId + "\r\n"),
            std::string::npos);
  EXPECT_NE(response.body.find("x-request-id: mine\r\n"), std::string::npos);
  ASSERT_TRUE(WriteAll(fd, kGet));
  const std::string second = reader.Read().body;
  const size_t at = second.find("x-request-id: ");
  ASSERT_NE(at, std::string::npos) << second;
  EXPECT_EQ(second.find("\r\n", at) - at, 14u + 36u);
  close(fd);
}

TEST(WorkerHttpTest, PipelinedRequestsAreAnsweredInOrder) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  std::string all;
  for (int i = 0; i < 20; ++i) {
    all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  ASSERT_TRUE(WriteAll(fd, all));
  for (int i = 0; i < 20; ++i) {
    const HttpMessage response = reader.Read();
    ASSERT_EQ(response.status(), 200) << i;
    EXPECT_EQ(response.body.find("GET /" + std::to_string(i) + " "), 0u);
  }
  close(fd);
}

TEST(WorkerHttpTest, ChunksAndTrailersPassBothWays) {
  std::string trailers;
  std::mutex mutex;
  Application application(HttpServer([&](const HttpMessage& request) {
    std::lock_guard lock(mutex);
    trailers = request.trailers;
    return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n" +
           std::string("3\r\n") + request.body.substr(0, 3) + "\r\n2\r\n" +
           request.body.substr(3, 2) + "\r\n0\r\nx-sum: 5\r\n\r\n";
  }));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(
      WriteAll(fd,
               "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
               "\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nX-Check: yes\r\n"
               "X-Forwarded-Client-Cert: By=me\r\nContent-Length: 7\r\n\r\n"));
  const HttpMessage response = reader.Read();
  EXPECT_EQ(response.status(), 200);
  EXPECT_EQ(response.body, "abcde");
  EXPECT_EQ(response.trailers, "x-sum: 5\r\n");
  std::lock_guard lock(mutex);
  EXPECT_EQ(trailers, "x-check: yes\r\n");
  close(fd);
}

TEST(WorkerHttpTest, ContinueAndEarlyHintsPassEndToEnd) {
  Application application([](int fd) {
    HttpReader reader(fd);
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) head += reader.ReadBytes(1);
    EXPECT_NE(head.find("expect: 100-continue"), std::string::npos) << head;
    WriteAll(fd, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
    WriteAll(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    WriteAll(fd, Response(reader.ReadBytes(4)));
    close(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd,
                       "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
                       "4\r\n\r\n"));
  const HttpMessage hints = reader.Read();
  EXPECT_EQ(hints.status(), 103);
  EXPECT_EQ(hints.Header("link"), "</a.css>");
  EXPECT_EQ(reader.Read().status(), 100);
  ASSERT_TRUE(WriteAll(fd, "body"));
  EXPECT_EQ(reader.Read().body, "body");
  close(fd);
}

TEST(WorkerHttpTest, AnUpgradeCarriesBytesBothWays) {
  Application application([](int fd) {
    HttpReader reader(fd);
    const HttpMessage request = reader.Read();
    EXPECT_EQ(request.Header("upgrade"), "websocket") << request.headers;
    WriteAll(fd,
             "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
             "hello");
    WriteAll(fd, "echo " + reader.ReadBytes(4));
    close(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd,
                       "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket"
                       "\r\nSec-WebSocket-Key: x\r\n\r\n"));
  EXPECT_EQ(reader.Read().status(), 101);
  EXPECT_EQ(reader.ReadBytes(5), "hello");
  ASSERT_TRUE(WriteAll(fd, "ping"));
  EXPECT_EQ(reader.ReadBytes(9), "echo ping");
  EXPECT_EQ(reader.ReadSome(), "");
  close(fd);
}

TEST(WorkerHttpTest, ConnectOpensATunnelThroughTheApplication) {
  Application application([](int fd) {
    HttpReader reader(fd);
    EXPECT_EQ(reader.Read().start_line, "CONNECT other:443 HTTP/1.1");
    WriteAll(fd, "HTTP/1.1 200 OK\r\n\r\n");
    WriteAll(fd, reader.ReadBytes(3));
    close(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n"));
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    const std::string byte = reader.ReadBytes(1);
    ASSERT_FALSE(byte.empty()) << head;
    head += byte;
  }
  EXPECT_EQ(head.find("HTTP/1.1 200"), 0u) << head;
  ASSERT_TRUE(WriteAll(fd, "abc"));
  EXPECT_EQ(reader.ReadBytes(3), "abc");
  close(fd);
}

TEST(WorkerHttpTest, HeadHasNoBody) {
  Application application(HttpServer([](const HttpMessage& request) {
    return request.start_line.find("HEAD") == 0
               ? std::string("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
               : Response("next");
  }));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"));
  const HttpMessage response = reader.Read(/*head_only=*/true);
  EXPECT_EQ(response.status(), 200);
  EXPECT_EQ(response.Header("content-length"), "100");
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_EQ(reader.Read().body, "next");
  close(fd);
}

TEST(WorkerHttpTest, WithoutARouteOrAnEndpointTheAnswerSaysSo) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  auto destination =
      std::make_shared<Destination>(*WithRoutes(Hbone(pair.captured(), net::Address())));
  auto routes = std::make_shared<config::RouteConfiguration>(*destination->routes);
  routes->virtual_hosts[0].domains = {"known"};
  destination->routes = routes;
  auto cluster = std::make_shared<config::Cluster>(*destination->cluster);
  cluster->endpoints.clear();
  destination->cluster = cluster;
  destination->route_clusters = {cluster};
  pair.discovery().Set(application.address(), destination);
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, kGet));
  const HttpMessage no_route = reader.Read();
  EXPECT_EQ(no_route.status(), 404);
  EXPECT_EQ(no_route.Header("x-countersign-reason"), "no_route");
  EXPECT_EQ(no_route.Header("x-countersign-flags"), "NR");
  ASSERT_TRUE(WriteAll(fd, "GET / HTTP/1.1\r\nHost: known\r\n\r\n"));
  const HttpMessage no_endpoint = reader.Read();
  EXPECT_EQ(no_endpoint.status(), 503);
  EXPECT_EQ(no_endpoint.Header("x-countersign-flags"), "UH");
  EXPECT_NE(no_endpoint.body.find("default/server"), std::string::npos) << no_endpoint.body;
  EXPECT_TRUE(no_endpoint.Has("date"));
  close(fd);
}

TEST(WorkerHttpTest, ThePathIsNormalisedOnceAndForwardedSo) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, "GET /a//b/./c/%2e%2e/%64?x=/../ HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(reader.Read().body.find("GET /a/b/d?x=/../ HTTP/1.1"), 0u);
  ASSERT_TRUE(WriteAll(fd, "GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n"));
  const HttpMessage refused = reader.Read();
  EXPECT_EQ(refused.status(), 400);
  EXPECT_EQ(refused.Header("x-countersign-reason"), "path_refused");
  close(fd);
}

TEST(WorkerHttpTest, ADestinationsOwnOptionsHoldOnTheWayThereAndTheInboundOnesAtItsEnd) {
  config::HttpOptions keep;
  keep.escaped_slashes = config::HttpOptions::EscapedSlashes::kKeep;
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const std::string request = "GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n";
  // What was told to a worker before is in force there.
  const auto settle = [](Worker& worker) {
    std::promise<void> done;
    worker.CollectConnections(0, [&](const auto&) { done.set_value(); });
    done.get_future().wait();
  };
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, request));
  EXPECT_EQ(reader.Read().status(), 400);
  // The connection's next request meets what is in force then, at the client's end...
  pair.client().OnDestination(application.address(), pair.DestinationWith(keep));
  settle(pair.client());
  ASSERT_TRUE(WriteAll(fd, request));
  EXPECT_EQ(reader.Read().status(), 400);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_http_refused_total{direction=\"inbound\",reason="
                         "\"path_refused\"} 1"));
  // ...and at the server's.
  auto inbound = std::make_shared<config::ProxyConfig>(*ConfigOf(MtlsMode::kStrict));
  inbound->http = keep;
  pair.server().OnProxyConfig(inbound);
  settle(pair.server());
  ASSERT_TRUE(WriteAll(fd, request));
  EXPECT_EQ(reader.Read().body.find("GET /a%2Fb HTTP/1.1"), 0u);
  // What `inbound` says at the client's end is no matter of what its application calls.
  auto outbound = std::make_shared<config::ProxyConfig>(*ConfigOf(MtlsMode::kStrict));
  outbound->http = keep;
  pair.client().OnProxyConfig(outbound);
  pair.client().OnDestination(application.address(), pair.DestinationWith({}));
  settle(pair.client());
  ASSERT_TRUE(WriteAll(fd, request));
  EXPECT_EQ(reader.Read().status(), 400);
  EXPECT_NE(pair.ClientStats().find("countersign_http_refused_total{direction=\"outbound\",reason="
                                    "\"path_refused\"} 2"),
            std::string::npos);
  close(fd);
}

TEST(WorkerHttpTest, ABadRequestIsAnsweredCountedAndTheConnectionCloses) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1);
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd,
                       "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n0\r\n\r\n"));
  EXPECT_EQ(reader.Read().status(), 400);
  EXPECT_EQ(reader.ReadSome(), "");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); },
                         "countersign_http_refused_total{direction=\"outbound\",reason="
                         "\"bad_request\"} 1"));
}

TEST(WorkerHttpTest, AnApplicationThatDiesInMidResponseBreaksItOff) {
  Application application([](int fd) {
    HttpReader reader(fd);
    reader.Read();
    WriteAll(fd, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ResetOnClose(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, kGet));
  const HttpMessage response = reader.Read();
  EXPECT_EQ(response.status(), 200);
  EXPECT_FALSE(response.complete);
  close(fd);
}

TEST(WorkerHttpTest, AnApplicationThatIsNotThereIsAnAnswer) {
  const net::Address nobody = Local(FreePort());
  HttpPair pair(nobody);
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, kGet));
  const HttpMessage response = reader.Read();
  EXPECT_EQ(response.status(), 503);
  EXPECT_NE(response.Header("x-countersign-flags").find("UF"), std::string::npos)
      << response.headers;
  close(fd);
}

TEST(WorkerHttpTest, AClientThatLeavesIsCountedAndItsRequestCancelled) {
  std::atomic<bool> cancelled{false};
  Application application([&](int fd) {
    HttpReader reader(fd);
    reader.Read();
    WriteAll(fd, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    cancelled = reader.ReadSome().empty();
    close(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, kGet));
  char byte;
  ASSERT_EQ(read(fd, &byte, 1), 1);
  ResetOnClose(fd);
  EXPECT_TRUE(Eventually([&] { return std::string(cancelled ? "cancelled" : ""); }, "cancelled"));
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); }, "response_flags=\"DC\""));
}

}  // namespace
}  // namespace countersign::server
