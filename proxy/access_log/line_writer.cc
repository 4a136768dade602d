#include "proxy/access_log/line_writer.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proxy/stats/families.h"

namespace countersign::access_log {
namespace {

constexpr size_t kKeptBytes = 64 * 1024;
constexpr std::chrono::milliseconds kReaderPoll{100};

bool IsFile(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

LineWriter::LineWriter(int fd, stats::Registry& stats)
    : stats_(stats),
      fd_(fd),
      file_(IsFile(fd)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Run(); }) {}

LineWriter::~LineWriter() {
  stop_.store(true);
  Wake();
  thread_.join();
  close(fd_);
  close(wake_fd_);
  if (const int unused = next_fd_.exchange(-1); unused >= 0) close(unused);
}

Ring& LineWriter::AddRing() {
  std::lock_guard<std::mutex> lock(mutex_);
  return *rings_.emplace_back(std::make_unique<Ring>());
}

void LineWriter::Replace(int fd) {
  if (const int unused = next_fd_.exchange(fd); unused >= 0) close(unused);
}

void LineWriter::Flush() {
  std::unique_lock<std::mutex> lock(mutex_);
  const uint64_t mine = ++flushes_asked_;
  hurry_.store(true);
  Wake();
  flushed_.wait(lock, [&] { return flushes_done_ >= mine; });
}

void LineWriter::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof one);
}

bool LineWriter::Sleep(std::chrono::milliseconds time) {
  pollfd wake{wake_fd_, POLLIN, 0};
  if (poll(&wake, 1, static_cast<int>(time.count())) <= 0) return true;
  uint64_t count = 0;
  (void)!read(wake_fd_, &count, sizeof count);
  return false;
}

void LineWriter::Run() {
  pthread_setname_np(pthread_self(), "access-log");
  write_failed_ = &stats_.Get(stats::kAccessLogDropped, {"write_failed"});
  while (!stop_.load()) {
    if (Drain()) {
      (void)Sleep(kGatherTime);
      continue;
    }
    sleeping_.store(true, std::memory_order_seq_cst);
    // A line that came before the store did not wake anybody.
    if (AllEmpty() && !stop_.load()) (void)Sleep(std::chrono::milliseconds(-1));
    sleeping_.store(false);
    if (!stop_.load() && !hurry_.load()) (void)Sleep(kGatherTime);
  }
  Drain();
  std::lock_guard<std::mutex> lock(mutex_);
  flushes_done_ = flushes_asked_;
  flushed_.notify_all();
}

bool LineWriter::AllEmpty() {
  std::lock_guard<std::mutex> lock(mutex_);
  return flushes_done_ == flushes_asked_ &&
         std::all_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->empty(); });
}

bool LineWriter::Drain() {
  if (const int fresh = next_fd_.exchange(-1); fresh >= 0) {
    close(std::exchange(fd_, fresh));
    file_ = IsFile(fd_);
  }
  hurry_.store(false);
  uint64_t asked = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    asked = flushes_asked_;
    for (const std::unique_ptr<Ring>& ring : rings_) ring->PopAll(&batch_);
  }
  const bool any = !batch_.empty();
  WriteAll(batch_);
  batch_.clear();
  if (batch_.capacity() > kKeptBytes) std::string().swap(batch_);
  std::lock_guard<std::mutex> lock(mutex_);
  if (flushes_done_ != asked) {
    flushes_done_ = asked;
    flushed_.notify_all();
  }
  return any;
}

void LineWriter::WriteAll(const std::string& lines) {
  size_t at = 0;
  std::chrono::milliseconds waited{0};
  while (at < lines.size()) {
    size_t size = lines.size() - at;
    if (!file_) {
      // A pipe's descriptor belongs to others too, so it is not ours to make non-blocking; but one
      // that is ready takes PIPE_BUF bytes without waiting (pipe(7)). Whole lines, if they fit.
      pollfd out{fd_, POLLOUT, 0};
      if (poll(&out, 1, static_cast<int>(kReaderPoll.count())) == 0) {
        waited += kReaderPoll;
        if (stop_.load() && waited >= kLastWait) break;
        continue;
      }
      if (size > PIPE_BUF) {
        const size_t line_end = lines.rfind('\n', at + PIPE_BUF - 1);
        size = line_end == std::string::npos || line_end < at ? PIPE_BUF : line_end + 1 - at;
      }
    }
    const ssize_t written = write(fd_, lines.data() + at, size);
    if (written > 0) {
      at += static_cast<size_t>(written);
      waited = std::chrono::milliseconds(0);
    } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
      break;
    }
  }
  write_failed_->Add(static_cast<uint64_t>(std::count(
      lines.begin() + static_cast<std::string::difference_type>(at), lines.end(), '\n')));
}

}  // namespace countersign::access_log
