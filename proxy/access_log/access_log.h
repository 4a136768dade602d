#ifndef COUNTERSIGN_PROXY_ACCESS_LOG_ACCESS_LOG_H_
#define COUNTERSIGN_PROXY_ACCESS_LOG_ACCESS_LOG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::access_log {

// A connection that has ended. The views need only live for the call.
struct Record {
  absl::Time start;
  absl::Duration duration;
  bool inbound = false;
  absl::string_view downstream;   // address of whoever opened it
  absl::string_view destination;  // original destination
  absl::string_view upstream;     // address that it was carried to; empty if none
  absl::string_view security;     // mutual_tls | none
  absl::string_view peer_id;      // SPIFFE ID; empty for plaintext
  absl::string_view peer_serial;  // hex
  uint64_t bytes_sent = 0;        // to downstream
  uint64_t bytes_received = 0;    // from downstream
  absl::string_view flags = {};   // response flags of Envoy's letters, `-` for none
  absl::string_view reason = {};  // why it was refused or broke off; empty for an orderly end
  absl::string_view policy = {};  // that refused it

  // HTTP requests only; `http` is false for a connection.
  bool http = false;
  absl::string_view protocol = {};  // `HTTP/1.1`
  absl::string_view method = {};
  absl::string_view authority = {};
  absl::string_view path = {};
  absl::string_view user_agent = {};
  absl::string_view request_id = {};
  absl::string_view trace_id = {};
  absl::string_view route = {};
  absl::string_view cluster = {};
  uint16_t status = 0;
  int grpc_status = -1;
  uint32_t attempts = 0;
  absl::Duration upstream_duration =
      absl::ZeroDuration();  // to the head of the upstream's response; zero: none came
};

// One field of a line, declared once: FIELDS.md and both formats are made from the same table.
struct Field {
  const char* name;
  const char* help;
};

// One JSON line a connection. Lines are written with one system call each, so several workers'
// lines never mix (POSIX append mode); a full disk costs the line, never the connection.
//
// Thread-safe. Lifetime: the process's.
class AccessLog {
 public:
  // `path`: a file, opened for appending, or `-` for standard output. Errors name the file.
  static absl::StatusOr<AccessLog> Open(const std::string& path);
  AccessLog(AccessLog&& other) noexcept;
  AccessLog& operator=(AccessLog&&) = delete;
  ~AccessLog();

  void Write(const Record& record);

  // The line with its line feed.
  static std::string Format(const Record& record);
  // FIELDS.md.
  static std::string RenderReference();

 private:
  explicit AccessLog(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace countersign::access_log

#endif  // COUNTERSIGN_PROXY_ACCESS_LOG_ACCESS_LOG_H_
