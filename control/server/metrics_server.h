// The plain HTTP port of the control plane: /metrics, /ready and /healthz.
#ifndef COUNTERSIGN_CONTROL_SERVER_METRICS_SERVER_H_
#define COUNTERSIGN_CONTROL_SERVER_METRICS_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace countersign::control::server {

// One thread of its own. Takes GET and HEAD, headers up to 8 KiB, 64 connections, and five seconds
// for each request; everything beyond is refused or closed. Stops when destroyed.
class MetricsServer {
 public:
  struct Options {
    // HOST:PORT or [HOST]:PORT, numeric.
    std::string listen;
    prometheus::Registry& registry;
    // Called on the server's thread before metrics are collected.
    std::function<void()> refresh;
    // Empty when ready, else a sentence that says why not. Called on the server's thread.
    std::function<std::string()> why_not_ready;
  };

  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(Options options);
  ~MetricsServer();

  // The port that it listens on.
  int port() const;

 private:
  class Listener;
  class Session;

  explicit MetricsServer(std::unique_ptr<Listener> listener);

  std::unique_ptr<Listener> listener_;
};

}  // namespace countersign::control::server

#endif  // COUNTERSIGN_CONTROL_SERVER_METRICS_SERVER_H_
