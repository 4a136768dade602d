// What the admin page shows of one connection.
#ifndef COUNTERSIGN_PROXY_PIPELINE_CONNECTION_INFO_H_
#define COUNTERSIGN_PROXY_PIPELINE_CONNECTION_INFO_H_

#include <cstdint>
#include <string>

namespace countersign::pipeline {

// A line of /connections.
struct ConnectionInfo {
  uint64_t id = 0;
  bool inbound = false;
  std::string downstream;   // address
  std::string destination;  // original destination
  std::string upstream;     // address of the endpoint, tunnel included
  std::string peer_id;      // SPIFFE ID, empty for plaintext
  std::string peer_serial;  // hex
  int64_t peer_expires_unix = 0;
  std::string security;  // mutual_tls | none
  std::string protocol;  // `tcp`, `HTTP/1.1`, `HTTP/2`
  uint64_t requests = 0;
  std::string state;  // held | connecting | open | draining
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  double age_seconds = 0;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_CONNECTION_INFO_H_
