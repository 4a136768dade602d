#ifndef COUNTERSIGN_PROXY_SERVER_ADMIN_PAGES_H_
#define COUNTERSIGN_PROXY_SERVER_ADMIN_PAGES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "proxy/admin/config_mirror.h"
#include "proxy/admin/http_server.h"
#include "proxy/event/dispatcher.h"
#include "proxy/identity/identity_client.h"
#include "proxy/identity/secret_store.h"
#include "proxy/server/gather.h"
#include "proxy/server/options.h"
#include "proxy/stats/registry.h"
#include "proxy/xds/xds_client.h"

namespace countersign::server {

// What the pages show and do. The references outlive the pages.
struct AdminPagesParams {
  const Options& options;
  event::Dispatcher& dispatcher;
  stats::Registry& stats;
  const identity::SecretStore& secrets;
  const admin::ConfigMirror& config;
  identity::IdentityClient& identity;
  const xds::XdsClient& xds;
  const Workers& workers;
  bool draining = false;  // by a signal or by POST /drain_listeners
  std::function<void()> start_drain;
};

// What the proxy answers on its admin port and, a part of it, to the network: one table of pages,
// from which /help is made as well.
//
// Thread: main. Lifetime: the server's.
class AdminPages {
 public:
  explicit AdminPages(AdminPagesParams params);

  // On loopback.
  void Handle(const admin::Request& request, admin::HttpServer::Done done);
  // For the network: metrics and readiness.
  void HandlePublic(const admin::Request& request, admin::HttpServer::Done done);

  // From now on /ready fails.
  void SetDraining() { params_.draining = true; }

 private:
  using Done = admin::HttpServer::Done;
  struct Page {
    const char* path;
    const char* method;  // POST where the page changes something
    const char* help;
    void (AdminPages::*handle)(const admin::Request& request, Done done);
  };
  static absl::Span<const Page> Pages();

  std::vector<std::string> NotReadyReasons() const;
  admin::Response MetricsResponse();
  admin::Response ReadyResponse() const;

  void Help(const admin::Request& request, Done done);
  void Ready(const admin::Request& request, Done done);
  void Metrics(const admin::Request& request, Done done);
  void Stats(const admin::Request& request, Done done);
  void ConfigDump(const admin::Request& request, Done done);
  void Certs(const admin::Request& request, Done done);
  void Clusters(const admin::Request& request, Done done);
  void Connections(const admin::Request& request, Done done);
  void Logging(const admin::Request& request, Done done);
  void SetLogging(const admin::Request& request, Done done);
  void DrainListeners(const admin::Request& request, Done done);
  void FailHealthCheck(const admin::Request& request, Done done);
  void PassHealthCheck(const admin::Request& request, Done done);

  AdminPagesParams params_;
  bool told_to_fail_ = false;  // by POST /healthcheck/fail
};

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_ADMIN_PAGES_H_
