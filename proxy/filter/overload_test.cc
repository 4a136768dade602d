#include "proxy/filter/overload.h"

#include "gtest/gtest.h"
#include "proxy/buffer/block.h"
#include "proxy/buffer/buffer.h"

namespace countersign::filter {
namespace {

using Limit = Overload::Limit;

TEST(OverloadTest, ConnectionsAreRefusedAtTheirLimitAndIdleOnesMakeRoom) {
  Overload overload({.max_connections = 2});
  overload.OnConnections(1);
  EXPECT_EQ(overload.RefusesConnection(), Limit::kNone);
  overload.OnConnections(1);
  EXPECT_EQ(overload.RefusesConnection(), Limit::kConnections);
  EXPECT_EQ(overload.ShedsIdle(), Limit::kConnections);
  EXPECT_EQ(overload.RefusesRequest(), Limit::kNone);
  overload.OnConnections(-1);
  EXPECT_EQ(overload.RefusesConnection(), Limit::kNone);
  EXPECT_EQ(overload.ShedsIdle(), Limit::kNone);
}

TEST(OverloadTest, RequestsAreRefusedAtTheirLimit) {
  Overload overload({.max_requests = 1});
  EXPECT_EQ(overload.RefusesRequest(), Limit::kNone);
  overload.OnRequests(1);
  EXPECT_EQ(overload.RefusesRequest(), Limit::kNone);
  EXPECT_EQ(overload.RefusesConnection(), Limit::kRequests);
  overload.OnRequests(1);
  EXPECT_EQ(overload.RefusesRequest(), Limit::kRequests);
}

TEST(OverloadTest, MemoryShedsConnectionsThenRequestsThenIdleConnections) {
  Overload overload({.max_buffered_bytes = 8 << 20});
  buffer::Buffer held;
  const auto hold = [&held](size_t bytes) {
    const std::string part(64 * 1024, 'x');
    while (buffer::BlockPool::ForThisThread().bytes_in_use() < bytes) held.Append(part);
  };
  EXPECT_EQ(overload.RefusesConnection(), Limit::kNone);
  hold(8 << 20);
  EXPECT_EQ(overload.RefusesConnection(), Limit::kMemory);
  EXPECT_EQ(overload.RefusesRequest(), Limit::kNone);
  hold(9 << 20);
  EXPECT_EQ(overload.RefusesRequest(), Limit::kMemory);
  EXPECT_EQ(overload.ShedsIdle(), Limit::kNone);
  hold(10 << 20);
  EXPECT_EQ(overload.ShedsIdle(), Limit::kMemory);
}

}  // namespace
}  // namespace countersign::filter
