#ifndef COUNTERSIGN_PROXY_SERVER_SERVER_H_
#define COUNTERSIGN_PROXY_SERVER_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proxy/access_log/access_log.h"
#include "proxy/admin/config_mirror.h"
#include "proxy/admin/http_server.h"
#include "proxy/event/dispatcher.h"
#include "proxy/identity/control_stream.h"
#include "proxy/identity/identity_client.h"
#include "proxy/identity/secret_store.h"
#include "proxy/server/admin_pages.h"
#include "proxy/server/gather.h"
#include "proxy/server/options.h"
#include "proxy/server/worker.h"
#include "proxy/stats/registry.h"
#include "proxy/trace/span.h"
#include "proxy/xds/xds_client.h"

namespace countersign::server {

// The proxy: owns the main loop, the identity and configuration clients, the workers and the admin
// pages, and joins them. Listeners accept from the first moment and hold what comes until identity
// and configuration are there, so that an application may start before its sidecar is ready.
//
// Thread: main, for everything. Lifetime: main()'s.
class Server final : private identity::SecretSink {
 public:
  // SIGTERM, SIGINT and SIGUSR1 must be blocked in all threads: they are read from a descriptor.
  explicit Server(Options options);
  ~Server() override;

  // Binds everything and starts the workers. Errors are sentences for the person at the terminal.
  absl::Status Start();
  // Until a signal has come and what was to be drained is drained. Returns the exit code.
  int Run();

 private:
  class Signals;

  void OnSignal(int signal);
  void ReopenAccessLog();
  // Readiness fails, inbound is drained; the process goes on.
  void StartDrain();
  // Drains, and ends.
  void StartStop();
  void OnInboundDrained();
  // Ends the drain once no connection is left in either direction.
  void PollDrained();
  void OnDrainTimer();
  void OnSecret(std::shared_ptr<const identity::SecretSnapshot> secret) override;
  void OnHousekeeping();
  void OnSetUpOver();

  const Options options_;
  event::Dispatcher dispatcher_;
  stats::Registry stats_;
  std::unique_ptr<access_log::AccessLog> access_log_;  // null: none is kept
  std::unique_ptr<trace::SpanSink> spans_;             // null: nobody collects
  identity::SecretStore secrets_;
  admin::ConfigMirror config_mirror_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<identity::ControlDialer> dialer_;
  std::unique_ptr<identity::IdentityClient> identity_;
  std::unique_ptr<xds::XdsClient> xds_;
  Workers workers_;
  std::unique_ptr<AdminPages> pages_;
  std::unique_ptr<admin::HttpServer> admin_;
  std::unique_ptr<admin::HttpServer> public_;

  bool draining_ = false;
  bool stopping_ = false;  // a signal has come: once drained, the process ends
  bool polling_drain_ = false;
  size_t workers_to_drain_ = 0;
  event::Instant drain_deadline_;
  event::Timer drain_timer_;
  event::Timer housekeeping_timer_;
  // Armed while program text that only set-up has touched waits to be dropped.
  event::Timer set_up_timer_;
  event::Instant text_dropped_at_{};
};

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_SERVER_H_
