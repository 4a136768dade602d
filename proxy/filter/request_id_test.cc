#include "proxy/filter/request_id.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace countersign::filter {
namespace {

TEST(RequestIdTest, AreUuidsOfVersionFour) {
  RequestIdGenerator ids;
  for (int i = 0; i < 200; ++i) {
    const std::string id(ids.Next());
    ASSERT_EQ(id.size(), 36u);
    for (size_t at = 0; at < id.size(); ++at) {
      if (at == 8 || at == 13 || at == 18 || at == 23) {
        EXPECT_EQ(id[at], '-');
      } else {
        EXPECT_NE(std::string("0123456789abcdef").find(id[at]), std::string::npos);
      }
    }
    EXPECT_EQ(id[14], '4');
    EXPECT_NE(std::string("89ab").find(id[19]), std::string::npos);
  }
}

TEST(RequestIdTest, NoTwoAreAlike) {
  RequestIdGenerator a;
  RequestIdGenerator b;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(std::string(a.Next()));
    seen.insert(std::string(b.Next()));
  }
  EXPECT_EQ(seen.size(), 2000u);
}

}  // namespace
}  // namespace countersign::filter
