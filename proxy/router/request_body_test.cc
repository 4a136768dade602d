#include "proxy/router/request_body.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

void Hold(RequestBody& body, absl::string_view text) {
  buffer::Buffer data;
  data.Append(text);
  body.Hold(data);
  EXPECT_TRUE(data.empty());
}

void Keep(RequestBody& body, absl::string_view text) {
  buffer::Buffer data;
  data.Append(text);
  body.Keep(data);
}

std::string Take(RequestBody& body) {
  buffer::Buffer out;
  body.Take(out);
  return out.ToString();
}

TEST(RequestBodyTest, WhatWasSentIsSentAgainBeforeWhatWasNot) {
  RequestBody body;
  body.Begin(true, 0);
  Hold(body, "one ");
  EXPECT_EQ(Take(body), "one ");
  Keep(body, "two ");
  ASSERT_TRUE(body.whole());
  body.Rewind();
  Hold(body, "three");
  EXPECT_EQ(body.held(), 13u);
  EXPECT_EQ(Take(body), "one two three");
  body.Rewind();
  EXPECT_EQ(Take(body), "one two three");
}

TEST(RequestBodyTest, ABodyBeyondTheBoundIsNotKept) {
  RequestBody body;
  body.Begin(true, 0);
  Keep(body, std::string(RequestBody::kMaxKept, 'x'));
  EXPECT_TRUE(body.whole());
  Keep(body, "x");
  EXPECT_FALSE(body.whole());
  EXPECT_EQ(body.size(), 0u);
  body.Clear();
  EXPECT_TRUE(body.whole());
  body.Begin(true, RequestBody::kMaxKept + 1);  // known beforehand: nothing is copied
  Keep(body, "x");
  EXPECT_FALSE(body.whole());
  EXPECT_EQ(body.size(), 0u);
}

TEST(RequestBodyTest, ABodyThatWasNeverSentIsWholeWhateverItsSize) {
  RequestBody body;
  body.Begin(false, 0);
  Hold(body, std::string(200'000, 'x'));
  EXPECT_TRUE(body.whole());
  EXPECT_EQ(Take(body).size(), 200'000u);
  EXPECT_FALSE(body.whole());
}

TEST(RequestBodyTest, AFloodOfTinyChunksThatWaitTakesLittleMoreThanItsBytes) {
  RequestBody body;
  body.Begin(false, 0);
  buffer::BlockPool& pool = buffer::BlockPool::ForThisThread();
  const size_t before = pool.bytes_in_use();
  std::string expected;
  for (int i = 0; i < 100'000; ++i) {
    const char c = static_cast<char>('a' + i % 26);
    Hold(body, absl::string_view(&c, 1));
    expected.push_back(c);
    buffer::Buffer other;  // another stream's, which takes the block that both would share
    other.Append("y");
  }
  EXPECT_LT(pool.bytes_in_use() - before, 250'000u);
  EXPECT_EQ(Take(body), expected);
}

TEST(RequestBodyTest, TrailersAreACopy) {
  RequestBody body;
  EXPECT_EQ(body.trailers(), nullptr);
  {
    http::HeaderMap trailers;
    trailers.Add("x-sum", "1");
    body.SetTrailers(trailers);
  }
  ASSERT_NE(body.trailers(), nullptr);
  EXPECT_EQ(body.trailers()->Find("x-sum")->value, "1");
  body.Clear();
  EXPECT_EQ(body.trailers(), nullptr);
}

}  // namespace
}  // namespace countersign::router
