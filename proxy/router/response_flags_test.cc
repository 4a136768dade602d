#include "proxy/router/response_flags.h"

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

TEST(ResponseFlagsTest, FlagsAreWrittenInTheTablesOrder) {
  ResponseFlags flags;
  EXPECT_EQ(flags.ToString(), "-");
  flags.Add(kUpstreamRetryLimit);
  EXPECT_EQ(flags.ToString(), "URX");
  flags.Add(kUpstreamConnectionFailure);
  flags.Add(kUpstreamConnectionFailure);
  EXPECT_EQ(flags.ToString(), "UF,URX");
}

}  // namespace
}  // namespace countersign::router
