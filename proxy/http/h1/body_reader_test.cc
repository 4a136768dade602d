#include "proxy/http/h1/body_reader.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::http::h1 {
namespace {

using Result = BodyReader::Result;
using buffer::Buffer;

const CodecLimits kLimits;

Result ReadAll(BodyReader& reader, absl::string_view text, Buffer& in, Buffer& out) {
  in.Append(text);
  return reader.Read(in, out);
}

TEST(BodyReaderTest, ALengthIsCountedOff) {
  BodyReader reader;
  Buffer in;
  Buffer out;
  reader.Start(BodyKind::kLength, 5, kLimits);
  EXPECT_EQ(ReadAll(reader, "hel", in, out), Result::kMore);
  EXPECT_EQ(ReadAll(reader, "loGET", in, out), Result::kDone);
  EXPECT_EQ(out.ToString(), "hello");
  EXPECT_EQ(in.ToString(), "GET");
}

TEST(BodyReaderTest, ChunksAreTakenApart) {
  BodyReader reader;
  Buffer in;
  Buffer out;
  reader.Start(BodyKind::kChunked, 0, kLimits);
  EXPECT_EQ(ReadAll(reader, "5;a=\"b\"\r\nhello\r\n00a\r\n0123456789\r\n0;z\r\n\r\nGET", in, out),
            Result::kDone);
  EXPECT_EQ(out.ToString(), "hello0123456789");
  EXPECT_EQ(in.ToString(), "GET");
}

TEST(BodyReaderTest, TrailersComeWithTheEnd) {
  BodyReader reader;
  Buffer in;
  Buffer out;
  reader.Start(BodyKind::kChunked, 0, kLimits);
  EXPECT_EQ(ReadAll(reader, "0\r\nX-A: 1\r\nHost: b\r\n\r\n", in, out), Result::kDoneWithTrailers);
  EXPECT_EQ(reader.trailers().size(), 1u);
  reader.Start(BodyKind::kChunked, 0, kLimits);
  EXPECT_EQ(ReadAll(reader, "0\r\nHost: b\r\n\r\n", in, out), Result::kDone);
}

TEST(BodyReaderTest, ExtensionsOfAllChunksTogetherAreBounded) {
  BodyReader reader;
  Buffer in;
  Buffer out;
  reader.Start(BodyKind::kChunked, 0, kLimits);
  Result result = Result::kMore;
  int chunks = 0;
  while (result == Result::kMore && chunks < 10'000) {
    result = ReadAll(reader, "1;name=value\r\nx\r\n", in, out);
    ++chunks;
  }
  EXPECT_EQ(result, Result::kBad);
  EXPECT_LT(chunks, 2'000);
}

TEST(BodyReaderTest, AnExtensionIsBounded) {
  BodyReader reader;
  Buffer in;
  Buffer out;
  reader.Start(BodyKind::kChunked, 0, kLimits);
  EXPECT_EQ(ReadAll(reader, "1;" + std::string(257, 'x'), in, out), Result::kBad);
}

TEST(BodyReaderTest, EveryChunkMayBeSigned) {
  BodyReader reader;
  Buffer in;
  Buffer out;
  reader.Start(BodyKind::kChunked, 0, kLimits);
  const std::string chunk =
      "400;chunk-signature=" + std::string(64, 'f') + "\r\n" + std::string(1024, 'x') + "\r\n";
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(ReadAll(reader, chunk, in, out), Result::kMore);
  EXPECT_EQ(ReadAll(reader, "0\r\n\r\n", in, out), Result::kDone);
  EXPECT_EQ(out.size(), 1'024'000u);
}

TEST(BodyReaderTest, TrailersAreBounded) {
  BodyReader reader;
  Buffer in;
  Buffer out;
  reader.Start(BodyKind::kChunked, 0, kLimits);
  EXPECT_EQ(ReadAll(reader, "0\r\n" + std::string(100'000, 'x'), in, out), Result::kBad);
  EXPECT_EQ(reader.fault().status, 431);
}

}  // namespace
}  // namespace countersign::http::h1
