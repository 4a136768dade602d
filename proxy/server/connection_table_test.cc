#include "proxy/server/connection_table.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::server {
namespace {

using ::testing::HasSubstr;

std::vector<ConnectionInfo> Two(absl::Time now) {
  ConnectionInfo tls;
  tls.id = 1;
  tls.inbound = true;
  tls.downstream = "10.0.0.1:40000";
  tls.destination = "10.0.0.2:5432";
  tls.upstream = "127.0.0.1:5432";
  tls.peer_id = "spiffe://mesh.test/ns/shop/sa/web";
  tls.peer_serial = "0badcafe";
  tls.peer_expires_unix = absl::ToUnixSeconds(now) + 90;
  tls.security = "mutual_tls";
  tls.state = "open";
  tls.bytes_in = 12;
  tls.bytes_out = 34;
  tls.age_seconds = 1.25;
  ConnectionInfo plain;
  plain.id = 2;
  plain.downstream = "10.0.0.3:1";
  plain.security = "none";
  plain.state = "held";
  return {tls, plain};
}

TEST(ConnectionTableTest, JsonSaysWhoTalksToWhom) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  const nlohmann::json page = nlohmann::json::parse(RenderConnectionsJson(Two(now), now));
  ASSERT_EQ(page["connections"].size(), 2u);
  const nlohmann::json& first = page["connections"][0];
  EXPECT_EQ(first["direction"], "inbound");
  EXPECT_EQ(first["peer_id"], "spiffe://mesh.test/ns/shop/sa/web");
  EXPECT_EQ(first["peer_expires_in_seconds"], 90);
  EXPECT_EQ(first["bytes_out"], 34);
  EXPECT_FALSE(page["connections"][1].contains("peer_expires_in_seconds"));
}

TEST(ConnectionTableTest, TextIsATableWithAlignedColumns) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  const std::string text = RenderConnectionsText(Two(now), now);
  EXPECT_THAT(text, HasSubstr("inbound    10.0.0.1:40000  10.0.0.2:5432  127.0.0.1:5432"));
  EXPECT_THAT(text, HasSubstr("0badcafe  90s"));
  EXPECT_THAT(text, HasSubstr("outbound   10.0.0.3:1      -              -"));
}

}  // namespace
}  // namespace countersign::server
