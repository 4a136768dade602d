#ifndef COUNTERSIGN_PROXY_ACCESS_LOG_ACCESS_LOG_H_
#define COUNTERSIGN_PROXY_ACCESS_LOG_ACCESS_LOG_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proxy/access_log/format.h"
#include "proxy/access_log/line_writer.h"
#include "proxy/access_log/record.h"
#include "proxy/stats/registry.h"

namespace countersign::access_log {

struct AccessLogOptions {
  std::string path;  // a file, opened for appending, or `-` for standard output
  LineFormat format;
  // Of lines about what went well, from 0 to 1. What failed (Record::failed) is always written.
  double sample = 1;
};

// One line a request, and one a connection that carried none, when it has ended. A worker makes the
// line in memory of its own and goes on; one thread writes what all of them have made, many lines
// with one system call. When that thread cannot keep up (a slow disk, a reader that stands still)
// lines are lost and counted, and no connection waits.
//
// Thread-safe. Lifetime: longer than that of the threads that write to it. The destructor writes
// what is left.
class AccessLog {
 public:
  // Errors name the file. `stats` outlives it.
  static absl::StatusOr<std::unique_ptr<AccessLog>> Open(AccessLogOptions options,
                                                         stats::Registry& stats);
  ~AccessLog();

  // Allocates nothing once a thread has written some lines, takes no lock, and makes no system call
  // but to wake the writer, at most some twenty times a second.
  void Write(const Record& record);

  // Opens the file anew, after somebody has moved it away. Errors leave the old one in use.
  absl::Status Reopen();
  // Waits until all that was written before is in the file. For tests, and for the end.
  void Flush();

 private:
  // What a thread keeps to make its lines.
  struct Desk;

  AccessLog(AccessLogOptions options, int fd, stats::Registry& stats);
  Desk& DeskOfThisThread();

  const AccessLogOptions options_;
  const uint64_t id_;  // of all that this process ever made, by which a thread knows its desk
  stats::Registry& stats_;
  LineWriter writer_;
  std::mutex mutex_;  // a thread's first line takes it
  std::vector<std::unique_ptr<Desk>> desks_;
};

}  // namespace countersign::access_log

#endif  // COUNTERSIGN_PROXY_ACCESS_LOG_ACCESS_LOG_H_
