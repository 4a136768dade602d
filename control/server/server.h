// The control plane's start order, its ticking and its end.
#ifndef COUNTERSIGN_CONTROL_SERVER_SERVER_H_
#define COUNTERSIGN_CONTROL_SERVER_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace countersign::control::server {

// Main thread. Everything that may be slow or blocked runs on threads of the parts.
class Server {
 public:
  struct Options {
    std::string config_dir;
    std::string state_dir;
    // ADDRESS:PORT of gRPC, as many as wanted.
    std::vector<std::string> listen;
    std::string metrics_listen;
    absl::Duration root_ttl = absl::Hours(24 * 3650);
    absl::Duration intermediate_ttl = absl::Hours(24 * 30);
    size_t max_streams = 100'000;
  };

  // Returns with everything serving, or with the reason why it cannot. With a configuration that
  // was never good it waits for one, unless `stop_fd` (readable when the process is to end) says
  // otherwise: Cancelled.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options, int stop_fd);
  ~Server();

  // Ticks until `stop_fd` is readable.
  void Run(int stop_fd);

  // The ports in use, in the order of Options::listen.
  const std::vector<int>& ports() const;
  int metrics_port() const;

 private:
  class Parts;

  explicit Server(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace countersign::control::server

#endif  // COUNTERSIGN_CONTROL_SERVER_SERVER_H_
