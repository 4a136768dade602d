#include "proxy/router/router_fixture.h"

#include "proxy/net/socket.h"

namespace countersign::router {

void RecordingDownstream::OnResponse(http::ResponseHead& head, bool end) {
  ++callbacks;
  status = head.status;
  headers = http::testing::Text(head.headers);
  complete = end;
  if (hook) hook();
}

void RecordingDownstream::OnResponseData(buffer::Buffer& data, bool end) {
  ++callbacks;
  body += data.ToString();
  data.Clear();
  complete = end;
  if (hook) hook();
}

void RecordingDownstream::OnResponseTrailers(http::HeaderMap& fields) {
  ++callbacks;
  trailers = http::testing::Text(fields);
  complete = true;
  if (hook) hook();
}

void RecordingDownstream::OnLocalReply(const LocalReply& made) {
  ++callbacks;
  replied = true;
  reply = made;
  reason = std::string(made.reason);
  flags = made.flags;
  if (hook) hook();
}

void RecordingDownstream::OnResponseBroken(ResponseFlags why, absl::string_view token) {
  ++callbacks;
  broken = true;
  flags = why;
  reason = std::string(token);
  if (hook) hook();
}

RouterFixture::RouterFixture() : router_(std::make_unique<Router>(dispatcher_)) {
  route_.match.path.text = "/";
  action().clusters = {{.cluster = "main"}};
  action().total_weight = 1;
  context_.clusters = this;
}

RouterFixture::~RouterFixture() {
  router_.reset();
  clusters_.clear();
  Settle();
}

std::unique_ptr<RouterFixture::TestServer> RouterFixture::Serve(http::Protocol protocol) {
  TestServer::Options options;
  options.protocol = protocol;
  return std::make_unique<TestServer>(dispatcher_, options);
}

net::Address RouterFixture::DeadAddress() {
  // Taken and given back: the kernel does not hand it out again at once.
  const net::Socket socket =
      *net::Socket::Listen(net::Address(net::IpAddress::V4({127, 0, 0, 1}), 0));
  return *socket.LocalAddress();
}

std::shared_ptr<config::Cluster> RouterFixture::AddCluster(
    std::string name, const std::vector<net::Address>& addresses) {
  std::vector<config::Endpoint> endpoints;
  for (const net::Address& address : addresses) endpoints.push_back(PlainEndpoint(address));
  auto cluster = ClusterOf(std::move(endpoints));
  cluster->name = name;
  cluster->lb_policy = config::LbPolicy::kLeastRequest;
  configs_[name] = cluster;
  return cluster;
}

upstream::Cluster* RouterFixture::FindCluster(absl::string_view name) {
  const std::string key(name);
  const auto config = configs_.find(key);
  if (config == configs_.end()) return nullptr;
  upstream::ClusterRef& cluster = clusters_[key];
  if (!cluster) cluster = table_.Acquire(config->second);
  return cluster.get();
}

void RouterFixture::Fill(absl::string_view method, absl::string_view path,
                         http::Protocol protocol) {
  head_.Clear();
  http::testing::FillRequest(head_, method, path);
  head_.protocol = protocol;
}

void RouterFixture::Start(bool end) {
  if (head_.method.empty()) Fill();
  downstream_ = {};
  router_->Reset();
  context_.choice = {&table_config_, &host_, &route_};
  router_->Start(downstream_, context_, head_, end);
}

void RouterFixture::Send(absl::string_view text, bool end) {
  buffer::Buffer data;
  data.Append(text);
  router_->SendData(data, end);
}

void RouterFixture::Get(absl::string_view path) {
  Fill("GET", path);
  Start();
  EXPECT_TRUE(Finish());
}

bool RouterFixture::Finish() {
  return RunUntil([this] { return downstream_.done(); });
}

bool RouterFixture::FinishWithRetries() {
  return RunUntil([this] {
    if (!downstream_.done()) clock_.Advance(std::chrono::milliseconds(1));
    return downstream_.done();
  });
}

http::testing::Exchange& RouterFixture::Exchange(TestServer& server, size_t connection,
                                                 size_t request) {
  EXPECT_TRUE(RunUntil([&] {
    return server.accepted() > connection &&
           server.connection(connection).requests().size() > request;
  })) << "the request did not come";
  return *server.connection(connection).requests()[request];
}

}  // namespace countersign::router
