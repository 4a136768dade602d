#include "proxy/event/dispatcher.h"

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace countersign::event {
namespace {

TEST(DispatcherTest, PostedCallsRunInOrderOnTheLoopsThread) {
  Dispatcher dispatcher;
  std::string log;
  std::thread::id ran;
  std::thread loop([&] { dispatcher.Run(); });
  for (char c = 'a'; c <= 'z'; ++c) dispatcher.Post([&log, c] { log += c; });
  dispatcher.Post([&] { ran = std::this_thread::get_id(); });
  dispatcher.Stop();
  const std::thread::id expected = loop.get_id();
  loop.join();
  EXPECT_EQ(log, "abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(ran, expected);
}

struct Named {
  Named(std::string* log, char name)
      : log(log), name(name), task(this, [](void* self) {
          Named* named = static_cast<Named*>(self);
          *named->log += named->name;
          if (named->next != nullptr) named->dispatcher->FlushAtTurnEnd(named->next->task);
        }) {}
  std::string* log;
  char name;
  Task task;
  Named* next = nullptr;
  Dispatcher* dispatcher = nullptr;
};

TEST(DispatcherTest, ATurnFramesThenFlushesUntilNothingIsLeft) {
  Dispatcher dispatcher;
  std::string log;
  Named frame(&log, 'f'), flush(&log, 'w'), again(&log, 'x'), later(&log, 'n');
  flush.next = &again;
  flush.dispatcher = &dispatcher;
  dispatcher.FlushAtTurnEnd(flush.task);
  dispatcher.FlushAtTurnEnd(flush.task);  // once
  dispatcher.FrameAtTurnEnd(frame.task);
  dispatcher.RunTurn(false);
  EXPECT_EQ(log, "fwx");
  dispatcher.RunNextTurn(later.task);
  dispatcher.RunTurn(true);  // does not wait: there is work
  EXPECT_EQ(log, "fwxn");
}

TEST(DispatcherTest, ADestroyedTaskDoesNotRun) {
  Dispatcher dispatcher;
  std::string log;
  {
    Named frame(&log, 'f');
    dispatcher.FrameAtTurnEnd(frame.task);
  }
  dispatcher.RunTurn(false);
  EXPECT_EQ(log, "");
}

TEST(DispatcherTest, DeferredObjectsDieAtTheEndOfTheTurn) {
  struct Mortal : Deferred {
    explicit Mortal(bool* dead) : dead(dead) {}
    ~Mortal() override { *dead = true; }
    bool* dead;
  };
  Dispatcher dispatcher;
  bool dead = false;
  dispatcher.DeferredDelete(std::make_unique<Mortal>(&dead));
  EXPECT_FALSE(dead);
  dispatcher.RunTurn(false);
  EXPECT_TRUE(dead);
}

TEST(DispatcherTest, EdgesTellWhatCameSinceTheLastOne) {
  struct Handler : FileEvent::Handler {
    void OnFileEvent(uint32_t events) override {
      last = events;
      ++count;
    }
    uint32_t last = 0;
    int count = 0;
  } handler;
  Dispatcher dispatcher;
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  FileEvent event(dispatcher, fds[0], handler);
  dispatcher.RunTurn(false);
  EXPECT_EQ(handler.last, kWritable);
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  dispatcher.RunTurn(false);
  EXPECT_NE(handler.last & kReadable, 0);
  const int seen = handler.count;
  dispatcher.RunTurn(false);  // unread, but nothing new
  EXPECT_EQ(handler.count, seen);
  close(fds[1]);
  dispatcher.RunTurn(false);
  EXPECT_GT(handler.count, seen);
  close(fds[0]);
}

TEST(DispatcherTest, SimulatedTimeMovesTimers) {
  SimulatedClock clock(absl::FromUnixSeconds(0));
  Dispatcher dispatcher(clock);
  bool fired = false;
  Timer timer(dispatcher.timers(), &fired, [](void* f) { *static_cast<bool*>(f) = true; });
  timer.Arm(std::chrono::hours(1));
  dispatcher.RunTurn(false);
  EXPECT_FALSE(fired);
  clock.Advance(std::chrono::hours(1));
  dispatcher.RunTurn(false);
  EXPECT_TRUE(fired);
}

}  // namespace
}  // namespace countersign::event
