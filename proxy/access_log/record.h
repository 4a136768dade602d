#ifndef COUNTERSIGN_PROXY_ACCESS_LOG_RECORD_H_
#define COUNTERSIGN_PROXY_ACCESS_LOG_RECORD_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::access_log {

// A request or a connection that has ended. The views need only live for the call.
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

  // Never left out by sampling: somebody will look for it.
  bool failed() const {
    return !reason.empty() || !policy.empty() || (!flags.empty() && flags != "-") ||
           (http && (status == 0 || status >= 500 || grpc_status > 0));
  }
};

}  // namespace countersign::access_log

#endif  // COUNTERSIGN_PROXY_ACCESS_LOG_RECORD_H_
