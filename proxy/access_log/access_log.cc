#include "proxy/access_log/access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/stats/families.h"

namespace countersign::access_log {
namespace {

absl::StatusOr<int> OpenDescriptor(const std::string& path) {
  const int fd = path == "-" ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                             : open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot open the access log ", path, ": ", strerror(errno)));
  }
  return fd;
}

std::atomic<uint64_t> last_id{0};

}  // namespace

struct AccessLog::Desk {
  // xorshift64*: which lines are left out need not be hard to guess.
  bool Chosen(double share) {
    random ^= random >> 12;
    random ^= random << 25;
    random ^= random >> 27;
    return static_cast<double>((random * 0x2545F4914F6CDD1Du) >> 11) * 0x1.0p-53 < share;
  }

  std::thread::id thread;
  Ring* ring;
  stats::Cell* lost;
  std::string line;
  TimeCache time;
  uint64_t random;
};

absl::StatusOr<std::unique_ptr<AccessLog>> AccessLog::Open(AccessLogOptions options,
                                                           stats::Registry& stats) {
  absl::StatusOr<int> fd = OpenDescriptor(options.path);
  if (!fd.ok()) {
    return fd.status();
  }
  return std::unique_ptr<AccessLog>(new AccessLog(std::move(options), *fd, stats));
}

AccessLog::AccessLog(AccessLogOptions options, int fd, stats::Registry& stats)
    : options_(std::move(options)), id_(++last_id), stats_(stats), writer_(fd, stats) {}

AccessLog::~AccessLog() = default;

AccessLog::Desk& AccessLog::DeskOfThisThread() {
  thread_local uint64_t known_id = 0;
  thread_local Desk* known = nullptr;
  if (known_id == id_) return *known;
  std::lock_guard<std::mutex> lock(mutex_);
  known = nullptr;
  for (const std::unique_ptr<Desk>& desk : desks_) {
    if (desk->thread == std::this_thread::get_id()) known = desk.get();
  }
  if (known == nullptr) {
    known = desks_.emplace_back(std::make_unique<Desk>()).get();
    known->thread = std::this_thread::get_id();
    known->ring = &writer_.AddRing();
    known->lost = &stats_.Get(stats::kAccessLogDropped, {"full"});
    known->random = 0x9E3779B97F4A7C15u * (desks_.size() + id_);
  }
  known_id = id_;
  return *known;
}

void AccessLog::Write(const Record& record) {
  Desk& desk = DeskOfThisThread();
  if (options_.sample < 1 && !record.failed() && !desk.Chosen(options_.sample)) return;
  desk.line.clear();
  options_.format.Append(record, desk.time, &desk.line);
  if (desk.ring->Push(desk.line)) {
    writer_.OnPushed(*desk.ring);
  } else {
    desk.lost->Add(1);
  }
}

absl::Status AccessLog::Reopen() {
  absl::StatusOr<int> fd = OpenDescriptor(options_.path);
  if (!fd.ok()) {
    return fd.status();
  }
  writer_.Replace(*fd);
  return absl::OkStatus();
}

void AccessLog::Flush() { writer_.Flush(); }

}  // namespace countersign::access_log
