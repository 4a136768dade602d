#include "proxy/http/h2/ended_streams.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/http/testing/frames.h"

namespace countersign::http::h2 {
namespace {

using testing::Frame;
using testing::FrameType;

constexpr uint8_t kEndStream = 1;

class EndedStreamsTest : public ::testing::Test {
 protected:
  // True: all of it may come.
  bool Take(const std::string& bytes) { return Offset(bytes) == bytes.size(); }
  size_t Offset(const std::string& bytes) {
    return ended_.Follow(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  static std::string Data(uint32_t stream, uint8_t flags = 0) {
    return Frame(FrameType::kData, flags, stream, "data");
  }
  static std::string Head(uint32_t stream, uint8_t flags = 0) {
    return Frame(FrameType::kHeaders, flags, stream, "head");
  }
  static std::string Reset(uint32_t stream) {
    return Frame(FrameType::kRstStream, 0, stream, "code");
  }

  EndedStreams ended_{0};
};

TEST_F(EndedStreamsTest, MessagesOneAfterTheOtherAreNoFault) {
  for (uint32_t stream = 1; stream < 2000; stream += 2) {
    ASSERT_TRUE(Take(Head(stream) + Data(stream) + Data(stream + 2, 0) + Data(stream, kEndStream)));
  }
}

TEST_F(EndedStreamsTest, NothingFollowsTheEndOfAStream) {
  for (const std::string& end : {Head(1, kEndStream), Data(1, kEndStream), Reset(1)}) {
    for (const std::string& more : {Head(1), Data(1), Data(1, kEndStream)}) {
      EndedStreams ended(0);
      const std::string bytes = absl::StrCat(Head(1), end, Data(3), more, Data(3));
      const size_t fault = 3 * 13;
      EXPECT_EQ(ended.Follow(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), fault);
    }
  }
}

TEST_F(EndedStreamsTest, ControlFramesMayFollowTheEndOfAStream) {
  EXPECT_TRUE(Take(Head(1, kEndStream) + Frame(FrameType::kWindowUpdate, 0, 1, "more") +
                   Frame(FrameType::kPriority, 0, 1, "prior") + Reset(1) + Reset(1) +
                   Frame(FrameType::kContinuation, 4, 1, "rest")));
}

TEST_F(EndedStreamsTest, AnAcknowledgementIsNotAnEnd) {
  // The same bit as END_STREAM.
  EXPECT_TRUE(Take(Head(1) + Frame(FrameType::kSettings, 1, 0, "") +
                   Frame(FrameType::kPing, 1, 0, "12345678") + Data(1)));
}

TEST_F(EndedStreamsTest, TheConnectionItselfIsNoStream) {
  // nghttp2 has an error of its own for it.
  EXPECT_TRUE(Take(Data(0, kEndStream) + Data(0)));
}

TEST_F(EndedStreamsTest, WhatWeResetIsForgiven) {
  EXPECT_TRUE(Take(Head(1)));
  ended_.Forgive(1);
  EXPECT_TRUE(Take(Data(1) + Data(1, kEndStream) + Data(1) + Reset(1) + Data(1)));
  EXPECT_FALSE(Take(Head(3, kEndStream) + Data(3)));
}

TEST_F(EndedStreamsTest, TheLastStreamsAreRemembered) {
  for (uint32_t stream = 1; stream <= 127; stream += 2) ASSERT_TRUE(Take(Head(stream, kEndStream)));
  EndedStreams before = ended_;
  EXPECT_FALSE(Take(Data(1)));
  ended_ = before;
  EXPECT_FALSE(Take(Data(127)));
  ended_ = before;
  EXPECT_TRUE(Take(Head(129, kEndStream) + Data(1)));  // one too many
}

TEST_F(EndedStreamsTest, PiecesOfAnySizeAreJudgedAlike) {
  const std::string preface = "preface";
  const std::string right = preface + Head(1, kEndStream) + Frame(FrameType::kData, 0, 3, "") +
                            Frame(FrameType::kData, 0, 3, std::string(70'000, 'x'));
  const std::string bytes = right + Data(1);
  for (const size_t piece : {1, 2, 3, 5, 8, 9, 13, 1000}) {
    EndedStreams ended(preface.size());
    size_t fed = 0;
    for (; fed < bytes.size(); fed += piece) {
      const size_t n = std::min(piece, bytes.size() - fed);
      const auto* at = reinterpret_cast<const uint8_t*>(bytes.data() + fed);
      if (ended.Follow(at, n) < n) break;
    }
    // In the piece that completes the faulty frame's head.
    EXPECT_EQ(fed / piece, (right.size() + 8) / piece) << piece;
  }
}

}  // namespace
}  // namespace countersign::http::h2
