#include "proxy/buffer/buffer.h"

#include <cstring>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace countersign::buffer {
namespace {

TEST(BufferTest, EmptyOwnsNothing) {
  const size_t before = BlockPool::ForThisThread().bytes_in_use();
  {
    Buffer buffer;
    buffer.Append("hello");
    EXPECT_EQ(buffer.ToString(), "hello");
    buffer.Drain(5);
    EXPECT_EQ(buffer.front(), nullptr);
  }
  // Only the block that the next append fills stays.
  EXPECT_LE(BlockPool::ForThisThread().bytes_in_use(), before + kBlockBytes);
}

TEST(BufferTest, InterleavedAppendsKeepTheirBytesApart) {
  Buffer a, b;
  for (int i = 0; i < 100; ++i) {
    a.Append("aa");
    b.Append("bbb");
  }
  std::string as(200, 'a'), bs(300, 'b');
  EXPECT_EQ(a.ToString(), as);
  EXPECT_EQ(b.ToString(), bs);
}

TEST(BufferTest, AppendAfterADrainDoesNotOverwriteWhatWasMovedAway) {
  Buffer a, b;
  a.Append("first");
  b.Move(a, 3);
  a.Append("second");
  EXPECT_EQ(b.ToString(), "fir");
  EXPECT_EQ(a.ToString(), "stsecond");
  b.Append("X");
  EXPECT_EQ(a.ToString(), "stsecond");
  EXPECT_EQ(b.ToString(), "firX");
}

TEST(BufferTest, AReadFillsWhatWasReservedAndTheRestComesBack) {
  BlockPool& pool = BlockPool::ForThisThread();
  BlockPool::Room room;
  pool.Reserve(4, &room);
  ASSERT_EQ(room.count, 4);
  std::string want;
  size_t n = room.iov[0].iov_len + 10;
  std::memset(room.iov[0].iov_base, 'x', room.iov[0].iov_len);
  std::memset(room.iov[1].iov_base, 'y', 10);
  want = std::string(room.iov[0].iov_len, 'x') + std::string(10, 'y');
  Slice *head, *tail;
  pool.Commit(&room, n, &head, &tail);
  Buffer buffer;
  buffer.AppendChain(head, tail, n);
  EXPECT_EQ(buffer.ToString(), want);
  Buffer other;
  other.Append("zz");
  EXPECT_EQ(buffer.ToString(), want);
}

TEST(BufferTest, CompactKeepsBytesAndLetsBlocksGo) {
  Buffer buffer, filler;
  for (int i = 0; i < 5; ++i) {
    buffer.Append(std::string(50, static_cast<char>('a' + i)));
    filler.Append(std::string(kBlockBytes - 100, '.'));
  }
  const std::string want = buffer.ToString();
  filler.Clear();
  const size_t before = BlockPool::ForThisThread().bytes_in_use();
  buffer.Compact();
  EXPECT_EQ(buffer.ToString(), want);
  EXPECT_LT(BlockPool::ForThisThread().bytes_in_use(), before);
}

TEST(BufferTest, WhatIsSmallIsGatheredIntoOnePiece) {
  Buffer from;
  Buffer other;
  from.Append("head ");
  other.Append("between");
  from.Append("body");
  ASSERT_NE(from.front(), from.back());
  Buffer out;
  out.Gather(from, from.size());
  EXPECT_EQ(out.ToString(), "head body");
  EXPECT_EQ(out.front(), out.back());
  EXPECT_TRUE(from.empty());
}

TEST(BufferTest, OnePieceIsSeenInPlaceAndSeveralAsACopy) {
  Buffer buffer;
  std::string copy;
  EXPECT_EQ(buffer.View(&copy), "");
  Buffer other;
  buffer.Append("one");
  EXPECT_EQ(buffer.View(&copy).data(), reinterpret_cast<const char*>(buffer.front()->data()));
  EXPECT_EQ(buffer.View(&copy), "one");
  other.Append("between");
  buffer.Append("two");
  ASSERT_NE(buffer.front(), buffer.back());
  EXPECT_EQ(buffer.View(&copy), "onetwo");
}

TEST(BufferTest, BehavesLikeAString) {
  std::minstd_rand random(7);
  Buffer buffers[3];
  std::string model[3];
  for (int step = 0; step < 20000; ++step) {
    const int i = random() % 3, j = (i + 1 + random() % 2) % 3;
    const size_t n = random() % 3000;
    switch (random() % 7) {
      case 0:
      case 1: {
        std::string text(n, static_cast<char>('a' + random() % 26));
        buffers[i].Append(text);
        model[i] += text;
        break;
      }
      case 2: {
        const size_t part = std::min(n, model[j].size());
        buffers[i].Move(buffers[j], n);
        model[i] += model[j].substr(0, part);
        model[j].erase(0, part);
        break;
      }
      case 3:
        buffers[i].Drain(n);
        model[i].erase(0, std::min(n, model[i].size()));
        break;
      case 4:
        buffers[i].TrimTail(n);
        model[i].resize(model[i].size() - std::min(n, model[i].size()));
        break;
      case 5:
        if (n < 100) buffers[i].Compact();
        break;
      case 6: {
        const size_t part = std::min(n / 3, model[j].size());
        buffers[i].Gather(buffers[j], n / 3);
        model[i] += model[j].substr(0, part);
        model[j].erase(0, part);
        break;
      }
    }
    ASSERT_EQ(buffers[i].size(), model[i].size());
    if (step % 50 == 0) {
      for (int k = 0; k < 3; ++k) ASSERT_EQ(buffers[k].ToString(), model[k]) << step;
    }
  }
}

}  // namespace
}  // namespace countersign::buffer
