// A router on real pools, codecs and sockets, with a downstream that writes down what it is told.
#ifndef COUNTERSIGN_PROXY_ROUTER_ROUTER_FIXTURE_H_
#define COUNTERSIGN_PROXY_ROUTER_ROUTER_FIXTURE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/router/router.h"
#include "proxy/upstream/testing/upstream_fixture.h"

namespace countersign::router {

struct RecordingDownstream final : public Downstream {
  void OnInformational(http::ResponseHead& head) override { informational.push_back(head.status); }
  void OnResponse(http::ResponseHead& head, bool end) override;
  void OnResponseData(buffer::Buffer& data, bool end) override;
  void OnResponseTrailers(http::HeaderMap& fields) override;
  void OnLocalReply(const LocalReply& made) override;
  void OnResponseBroken(ResponseFlags why, absl::string_view token) override;
  void OnUpstreamReadDisable(bool disable) override { disabled += disable ? 1 : -1; }
  // A complete response, a local reply, or a broken response.
  bool done() const { return complete || replied || broken; }

  std::vector<uint16_t> informational;
  uint16_t status = 0;
  std::string headers, body, trailers;
  bool complete = false;
  bool replied = false;
  bool broken = false;
  LocalReply reply;
  std::string reason;  // of a local reply or a broken response
  ResponseFlags flags;
  int disabled = 0;
  int callbacks = 0;
  // Called at the end of each callback.
  std::function<void()> hook;
};

class RouterFixture : public upstream::testing::UpstreamFixture, private ClusterSource {
 protected:
  using TestServer = upstream::testing::TestServer;
  static constexpr http::Protocol kH1 = http::Protocol::kHttp11;
  static constexpr http::Protocol kH2 = http::Protocol::kHttp2;

  RouterFixture();
  ~RouterFixture() override;

  std::unique_ptr<TestServer> Serve(http::Protocol protocol = kH1);
  // Where nobody listens.
  static net::Address DeadAddress();
  // A cluster `name` with these endpoints, which may be changed before it is used.
  std::shared_ptr<config::Cluster> AddCluster(std::string name,
                                              const std::vector<net::Address>& addresses);
  // The cluster `main` behind the route.
  std::shared_ptr<config::Cluster> Main(const std::vector<net::Address>& addresses) {
    return AddCluster("main", addresses);
  }
  std::shared_ptr<config::Cluster> Main(const TestServer& server) {
    return Main({server.address()});
  }

  // `head_` is filled in; add what else the request needs, then Start.
  void Fill(absl::string_view method = "GET", absl::string_view path = "/",
            http::Protocol protocol = kH1);
  void Start(bool end = true);
  void Send(absl::string_view text, bool end);
  // A request without a body, up to its end.
  void Get(absl::string_view path = "/");
  bool Finish();  // waits for the downstream's end
  // The server's exchange of a request, once it has come.
  http::testing::Exchange& Exchange(TestServer& server, size_t connection = 0, size_t request = 0);
  // Retries wait for up to 250 ms each.
  bool FinishWithRetries();

  config::ForwardAction& action() { return route_.forward; }
  upstream::Cluster* FindCluster(absl::string_view name) override;
  upstream::Cluster* DestinationCluster() override { return FindCluster("main"); }

  config::RouteConfiguration table_config_{.name = "table"};
  config::VirtualHost host_{.name = "host"};
  config::Route route_{.name = "route"};
  std::map<std::string, std::shared_ptr<config::Cluster>> configs_;
  std::map<std::string, upstream::ClusterRef> clusters_;
  http::RequestHead head_;
  RequestContext context_;
  RecordingDownstream downstream_;
  std::unique_ptr<Router> router_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_ROUTER_FIXTURE_H_
