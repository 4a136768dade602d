// Choosing a host, taking a stream and reporting its outcome allocate nothing once the way is
// trodden.
#include <atomic>
#include <cstdlib>

#include "proxy/upstream/cluster.h"
#include "proxy/upstream/testing/upstream_fixture.h"

namespace {
std::atomic<bool> counting{false};
std::atomic<int> allocations{0};
}  // namespace

void* operator new(size_t size) {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace countersign::upstream {
namespace {

using http::Protocol;

class ClusterAllocationTest : public testing::UpstreamFixture {
 protected:
  // Allocations of one request's way through the cluster, after some to warm up.
  int Measure(Protocol protocol, config::LbPolicy policy) {
    testing::TestServer::Options options;
    options.protocol = protocol;
    testing::TestServer server(dispatcher_, options);
    auto config = ClusterOf({PlainEndpoint(server.address())});
    config->lb_policy = policy;
    config->outlier.enabled = true;
    Cluster& cluster = Use(config);
    for (int i = 0; i < 20; ++i) {
      Get(cluster, protocol);
      cluster.OnOutcome(*cluster.hosts()[0], {Outcome::Kind::kResponse, 200, {}});
    }
    Request request;
    request.downstream = protocol;
    Host* host = nullptr;
    allocations = 0;
    counting = true;
    host = cluster.ChooseHost({});
    Cluster::Hold(*host);
    cluster.NewStream(*host, request);
    cluster.OnOutcome(*host, {Outcome::Kind::kResponse, 200, std::chrono::microseconds(300)});
    Cluster::Release(host);
    counting = false;
    EXPECT_TRUE(request.ready);
    EXPECT_TRUE(RunUntil([&] { return request.call.ends == 1; }));
    EXPECT_EQ(server.accepted(), 1);
    return allocations;
  }
};

TEST_F(ClusterAllocationTest, ARequestOnAKeptConnectionAllocatesNothing) {
  for (const config::LbPolicy policy :
       {config::LbPolicy::kRoundRobin, config::LbPolicy::kLeastRequest, config::LbPolicy::kRandom,
        config::LbPolicy::kPeakEwma, config::LbPolicy::kRingHash, config::LbPolicy::kMaglev}) {
    EXPECT_EQ(Measure(Protocol::kHttp11, policy), 0);
    EXPECT_EQ(Measure(Protocol::kHttp2, policy), 0);
  }
}

}  // namespace
}  // namespace countersign::upstream
