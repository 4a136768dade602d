#include "proxy/http/header_map.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/http/message.h"

namespace countersign::http {
namespace {

TEST(HeaderIdTest, EveryNameIsFoundAndNoOther) {
#define COUNTERSIGN_ROW(id, text)                      \
  EXPECT_EQ(FindHeaderId(text), HeaderId::id);         \
  EXPECT_EQ(HeaderName(HeaderId::id), text);           \
  EXPECT_EQ(FindHeaderId(text "x"), HeaderId::kOther); \
  EXPECT_EQ(FindHeaderId(absl::string_view(text).substr(1)), FindHeaderId(&text[1]));
  COUNTERSIGN_HTTP_HEADERS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
  EXPECT_EQ(FindHeaderId(""), HeaderId::kOther);
  EXPECT_EQ(FindHeaderId("Host"), HeaderId::kOther);
  EXPECT_EQ(FindHeaderId(std::string(1000, 'x')), HeaderId::kOther);
}

TEST(HeaderMapTest, FieldsKeepTheirOrder) {
  HeaderMap map;
  map.Add("x-b", "1");
  map.Add(HeaderId::kCookie, "2");
  map.Add("x-a", "3");
  map.Add("x-b", "4");
  ASSERT_EQ(map.size(), 4u);
  EXPECT_EQ(map.fields()[0].name, "x-b");
  EXPECT_EQ(map.fields()[3].value, "4");
  EXPECT_EQ(map.Find("x-b")->value, "1");
  EXPECT_EQ(map.Get(HeaderId::kCookie), "2");
  EXPECT_EQ(map.Find("cookie")->value, "2");
  EXPECT_EQ(map.byte_size(), 4 * 33u + 3 + 6 + 3 + 3);
  EXPECT_EQ(map.Remove("x-b"), 2u);
  map.Set(HeaderId::kCookie, "5");
  EXPECT_EQ(map.fields()[1].value, "5");
  EXPECT_EQ(map.byte_size(), 2 * 33u + 3 + 6);
}

TEST(HeaderMapTest, ViewsOutliveTheirFields) {
  HeaderMap map;
  map.Add("x-a", "value");
  const absl::string_view value = map.Find("x-a")->value;
  map.Remove("x-a");
  for (int i = 0; i < 100; ++i) map.Add(absl::StrCat("x-", i), std::string(100, 'v'));
  EXPECT_EQ(value, "value");
  HeaderMap other = std::move(map);
  EXPECT_EQ(value, "value");
  EXPECT_EQ(other.size(), 100u);
}

TEST(HeaderMapTest, AClearedMapServesTheNextMessage) {
  HeaderMap map;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 50; ++i) map.Add(absl::StrCat("name-", i), std::string(40, 'v'));
    EXPECT_EQ(map.size(), 50u);
    EXPECT_EQ(map.fields()[49].name, "name-49");
    map.Clear();
    EXPECT_TRUE(map.empty());
    EXPECT_EQ(map.byte_size(), 0u);
  }
  map.Add("x-large", std::string(100'000, 'l'));
  EXPECT_EQ(map.Find("x-large")->value.size(), 100'000u);
  map.Clear();
  map.Add("x", "y");
  EXPECT_EQ(map.Find("x")->value, "y");
}

TEST(HeaderMapTest, CopiesOfHeadsBorrowNothing) {
  RequestHead copy;
  {
    RequestHead head;
    const std::string path = "/a";
    head.method = "GET";
    head.path = path;
    head.headers.AddBorrowed("x-a", path);
    copy.CopyFrom(head);
    EXPECT_NE(copy.path.data(), path.data());
    EXPECT_NE(copy.headers.fields()[0].value.data(), path.data());
  }
  EXPECT_EQ(copy.method, "GET");
  EXPECT_EQ(copy.path, "/a");
  EXPECT_EQ(copy.headers.Find("x-a")->value, "/a");
}

}  // namespace
}  // namespace countersign::http
