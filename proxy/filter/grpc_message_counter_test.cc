#include "proxy/filter/grpc_message_counter.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace countersign::filter {
namespace {

// A message with its prefix; `flag`: 1 is compressed.
std::string Message(const std::string& payload, uint8_t flag = 0) {
  std::string message(1, static_cast<char>(flag));
  for (int shift = 24; shift >= 0; shift -= 8) {
    message.push_back(static_cast<char>(payload.size() >> shift));
  }
  return message + payload;
}

// Pieces of a body, each a slice of its own.
uint64_t CountPieces(const std::string& body, const std::vector<size_t>& cuts) {
  GrpcMessageCounter counter;
  uint64_t messages = 0;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t to = i < cuts.size() ? cuts[i] : body.size();
    buffer::Buffer piece;
    piece.Append(body.substr(from, to - from));
    messages += counter.Count(piece);
    from = to;
  }
  return messages;
}

TEST(GrpcMessageCounterTest, ABodyIsCountedAlikeWhereverItIsCut) {
  // Payloads that look like prefixes, empty ones, lengths that need each byte.
  const std::string body = Message("") + Message(Message("x")) + Message(std::string(300, '\0')) +
                           Message("") + Message("end", 1);
  constexpr uint64_t kMessages = 5;
  EXPECT_EQ(CountPieces(body, {}), kMessages);
  for (size_t cut = 0; cut <= body.size(); ++cut) {
    ASSERT_EQ(CountPieces(body, {cut}), kMessages) << "cut at " << cut;
  }
  std::vector<size_t> everywhere;
  for (size_t cut = 1; cut < body.size(); ++cut) everywhere.push_back(cut);
  EXPECT_EQ(CountPieces(body, everywhere), kMessages);
}

TEST(GrpcMessageCounterTest, ALengthOfThreeBytesIsReadHoweverItIsCut) {
  const std::string body = Message(std::string(70'000, '\1')) + Message("end");
  for (const size_t around : {size_t{5}, body.size() - 8}) {
    for (size_t cut = around - 5; cut <= around + 5; ++cut) {
      ASSERT_EQ(CountPieces(body, {cut}), 2u) << "cut at " << cut;
    }
  }
}

TEST(GrpcMessageCounterTest, EveryPairOfCutsInTwoPrefixesCountsAlike) {
  const std::string body = Message("abc") + Message("") + Message("defgh", 1);
  for (size_t first = 0; first <= body.size(); ++first) {
    for (size_t second = first; second <= body.size(); ++second) {
      ASSERT_EQ(CountPieces(body, {first, second}), 3u) << first << ", " << second;
    }
  }
}

TEST(GrpcMessageCounterTest, RandomBodiesInRandomPiecesCountAsTheyWereMade) {
  std::mt19937 random(20'261'128);
  for (int round = 0; round < 500; ++round) {
    std::string body;
    const uint64_t messages = random() % 20;
    for (uint64_t i = 0; i < messages; ++i) {
      const size_t size = random() % 4 == 0 ? random() % 3 : random() % 700;
      std::string payload;
      for (size_t n = 0; n < size; ++n) payload.push_back(static_cast<char>(random() % 7));
      body += Message(payload, random() % 2);
    }
    std::vector<size_t> cuts;
    for (size_t at = random() % 9; at < body.size(); at += random() % 9) cuts.push_back(at);
    ASSERT_EQ(CountPieces(body, cuts), messages) << "round " << round;
  }
}

TEST(GrpcMessageCounterTest, SlicesOfOneBufferAreOneBody) {
  const std::string body = Message("first") + Message("second");
  buffer::Buffer pieces;
  for (const char c : body) {
    buffer::Buffer byte;
    byte.Append(absl::string_view(&c, 1));
    pieces.Move(byte);
  }
  GrpcMessageCounter counter;
  EXPECT_EQ(counter.Count(pieces), 2u);
  EXPECT_EQ(pieces.ToString(), body);
}

TEST(GrpcMessageCounterTest, WhatBreaksOffIsNoMessage) {
  const std::string whole = Message("whole");
  for (size_t missing = 1; missing < whole.size(); ++missing) {
    EXPECT_EQ(CountPieces(whole + whole.substr(0, whole.size() - missing), {}), 1u) << missing;
  }
  // A length that never comes true neither overflows nor counts.
  EXPECT_EQ(CountPieces(std::string("\0\xff\xff\xff\xff", 5) + std::string(100'000, 'x'), {}), 0u);
}

}  // namespace
}  // namespace countersign::filter
