#include "proxy/http/h1/head_collector.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::http::h1 {
namespace {

using Result = HeadCollector::Result;
using buffer::Buffer;

TEST(HeadCollectorTest, AWholeHeadIsUsedWhereItLies) {
  HeadCollector collector;
  Buffer in;
  in.Append("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest");
  ASSERT_EQ(collector.Collect(in, 1000), Result::kComplete);
  EXPECT_EQ(static_cast<const void*>(collector.head().data()), in.front()->data());
  EXPECT_EQ(collector.head(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  collector.Consume(in);
  EXPECT_EQ(in.ToString(), "rest");
}

TEST(HeadCollectorTest, PiecesArePutTogether) {
  HeadCollector collector;
  const std::string text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
  Buffer in;
  size_t at = 0;
  Result result = Result::kIncomplete;
  for (; result == Result::kIncomplete; ++at) {
    in.Append(text.substr(at, 1));
    result = collector.Collect(in, 1000);
  }
  ASSERT_EQ(result, Result::kComplete);
  EXPECT_EQ(at, text.size() - 4);
  EXPECT_EQ(collector.head(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  collector.Consume(in);
  EXPECT_TRUE(in.empty());
  EXPECT_FALSE(collector.partial());
}

TEST(HeadCollectorTest, BareLineFeedsAreSeenAtOnce) {
  for (const char* text : {"GET / HTTP/1.1\n", "\n", "GET / HTTP/1.1\r\nA: b\n"}) {
    HeadCollector collector;
    Buffer in;
    in.Append(text);
    EXPECT_EQ(collector.Collect(in, 1000), Result::kMalformed) << text;
  }
}

TEST(HeadCollectorTest, HeadsAreBounded) {
  for (const size_t piece : {1, 7, 5000}) {
    HeadCollector line;
    Buffer in;
    Result result = Result::kIncomplete;
    while (result == Result::kIncomplete) {
      in.Append(std::string(piece, 'x'));
      result = line.Collect(in, 1000);
    }
    EXPECT_EQ(result, Result::kLineTooLong);
    HeadCollector head;
    in.Clear();
    in.Append("GET / HTTP/1.1\r\n");
    while ((result = head.Collect(in, 1000)) == Result::kIncomplete) {
      in.Append(std::string(piece, 'x'));
    }
    EXPECT_EQ(result, Result::kTooLarge);
  }
}

TEST(HeadCollectorTest, TheEndIsFoundAtEveryOffset) {
  for (size_t before = 2; before < 70; ++before) {
    const std::string text = std::string(before, 'x') + "\r\n\r\n" + std::string(40, 'y');
    EXPECT_EQ(FindHeadEnd(text, 0), before + 4);
    EXPECT_EQ(FindHeadEnd(text.substr(0, before + 3), 0), 0u);
    EXPECT_EQ(FindHeadEnd(text, before + 3), before + 4);
  }
}

}  // namespace
}  // namespace countersign::http::h1
