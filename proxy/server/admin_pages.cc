#include "proxy/server/admin_pages.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "proxy/admin/certs_page.h"
#include "proxy/admin/clusters_page.h"
#include "proxy/admin/config_dump_page.h"
#include "proxy/admin/stats_page.h"
#include "proxy/server/connection_table.h"
#include "proxy/server/process_stats.h"
#include "proxy/stats/families.h"

namespace countersign::server {
namespace {

using admin::Request;
using admin::Response;

constexpr size_t kDefaultConnectionLimit = 1000;
constexpr size_t kMaxConnectionLimit = 100'000;
// Series of pairs that talk no more stay this long for the scrape.
constexpr std::chrono::hours kSeriesIdle{1};
constexpr absl::string_view kLevels[] = {"trace", "debug", "info", "warning", "error", "off"};

absl::string_view Query(const Request& request, const char* name) {
  const auto it = request.query.find(name);
  return it == request.query.end() ? absl::string_view() : absl::string_view(it->second);
}

}  // namespace

AdminPages::AdminPages(AdminPagesParams params) : params_(std::move(params)) {}

absl::Span<const AdminPages::Page> AdminPages::Pages() {
  static constexpr Page kPages[] = {
      {"/help", "GET", "this list", &AdminPages::Help},
      {"/ready", "GET", "200 when identity and configuration are there, otherwise 503 and why not",
       &AdminPages::Ready},
      {"/metrics", "GET", "all statistics in Prometheus text format", &AdminPages::Metrics},
      {"/stats", "GET",
       "the same for people: ?filter=REGEX (RE2, on name and labels), ?format=json",
       &AdminPages::Stats},
      {"/clusters", "GET", "endpoints, their health and load, in Envoy's lines; ?format=json",
       &AdminPages::Clusters},
      {"/connections", "GET", "what is open (JSON); ?format=text for a table; ?limit=N",
       &AdminPages::Connections},
      {"/config_dump", "GET", "the configuration in force, clusters and routes included (JSON)",
       &AdminPages::ConfigDump},
      {"/certs", "GET", "our certificate and the trust bundles (JSON)", &AdminPages::Certs},
      {"/logging", "GET", "the log level", &AdminPages::Logging},
      {"/logging", "POST", "?level=debug changes it", &AdminPages::SetLogging},
      {"/drain_listeners", "POST",
       "readiness fails, callers are told to go elsewhere, all are served; the process goes on",
       &AdminPages::DrainListeners},
      {"/healthcheck/fail", "POST", "readiness fails, nothing else changes",
       &AdminPages::FailHealthCheck},
      {"/healthcheck/ok", "POST", "takes it back", &AdminPages::PassHealthCheck},
      {"/healthz/ready", "GET", "as /ready", &AdminPages::Ready},
      {"/", "GET", "as /help", &AdminPages::Help},
  };
  return kPages;
}

void AdminPages::Handle(const Request& request, Done done) {
  // HEAD gets what GET gets; the server leaves the body out.
  const absl::string_view method =
      request.method == "HEAD" ? absl::string_view("GET") : absl::string_view(request.method);
  const char* other_method = nullptr;
  for (const Page& page : Pages()) {
    if (request.path != page.path) continue;
    if (method == page.method) {
      (this->*page.handle)(request, std::move(done));
      return;
    }
    other_method = page.method;
  }
  if (other_method != nullptr) {
    done(Response::Text(405, absl::StrCat(request.path, " takes ", other_method, " alone.\n")));
  } else {
    done(Response::Text(404, "No such page; /help lists them.\n"));
  }
}

void AdminPages::HandlePublic(const Request& request, Done done) {
  if (request.method == "POST") {
    done(Response::Text(405, "Only GET is understood here.\n"));
  } else if (request.path == "/metrics") {
    done(MetricsResponse());
  } else if (request.path == "/healthz/ready") {
    done(ReadyResponse());
  } else {
    done(Response::Text(404, "Here are /metrics and /healthz/ready.\n"));
  }
}

std::vector<std::string> AdminPages::NotReadyReasons() const {
  std::vector<std::string> reasons;
  if (params_.draining) {
    reasons.push_back("draining: the proxy has been told to stop");
  }
  if (told_to_fail_) {
    reasons.push_back("told to fail: POST /healthcheck/ok takes it back");
  }
  const std::string identity = params_.identity.NotReadyReason();
  if (!identity.empty()) {
    reasons.push_back(absl::StrCat("identity: ", identity));
  }
  if (params_.config.config() == nullptr) {
    const std::string& error = params_.xds.last_error();
    reasons.push_back(absl::StrCat("configuration: none has come from the control plane yet",
                                   error.empty() ? "" : ": ", error));
  }
  return reasons;
}

void AdminPages::Help(const Request&, Done done) {
  std::string text;
  for (const Page& page : Pages()) {
    absl::StrAppendFormat(&text, "%-18s %-4s  %s\n", page.path, page.method, page.help);
  }
  done(Response::Text(200, std::move(text)));
}

Response AdminPages::ReadyResponse() const {
  const std::vector<std::string> reasons = NotReadyReasons();
  if (reasons.empty()) {
    return Response::Text(200, "ready\n");
  }
  return Response::Text(503, absl::StrCat(absl::StrJoin(reasons, "\n"), "\n"));
}

void AdminPages::Ready(const Request&, Done done) { done(ReadyResponse()); }

Response AdminPages::MetricsResponse() {
  params_.identity.UpdateGauges();
  params_.stats.Get(stats::kReady, {}).Set(NotReadyReasons().empty() ? 1 : 0);
  params_.stats.Get(stats::kProcessResident, {}).Set(ResidentBytes());
  params_.stats.Get(stats::kProcessOpenFds, {}).Set(OpenFileDescriptors());
  params_.stats.DropRetired(kSeriesIdle);
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = params_.stats.Serialize()};
}

void AdminPages::Metrics(const Request&, Done done) { done(MetricsResponse()); }

void AdminPages::Stats(const Request& request, Done done) {
  const absl::string_view format = Query(request, "format");
  if (format == "prometheus") return done(MetricsResponse());
  const bool json = format == "json";
  absl::StatusOr<std::string> page =
      admin::RenderStats(MetricsResponse().body, Query(request, "filter"),
                         json ? admin::StatsFormat::kJson : admin::StatsFormat::kText);
  if (!page.ok()) {
    return done(Response::Text(400, absl::StrCat(page.status().message(), "\n")));
  }
  done(json ? Response::Json(*std::move(page)) : Response::Text(200, *std::move(page)));
}

void AdminPages::ConfigDump(const Request&, Done done) {
  admin::ConfigDump dump;
  dump.flags = params_.options.flags;
  dump.config = params_.config.config();
  dump.destinations = params_.config.destinations();
  dump.xds_connected = params_.xds.connected();
  dump.xds_error = params_.xds.last_error();
  const xds::ResourceStore& resources = params_.xds.resources();
  std::vector<std::string> names = {"inbound", "outbound"};
  for (const net::Address& address : resources.Destinations()) {
    names.push_back(xds::DestinationName(address));
  }
  for (const std::string& name : names) {
    const std::string version = resources.VersionOf(xds::ResourceType::kListener, name);
    if (!version.empty()) {
      dump.versions[name] = version;
    }
  }
  done(Response::Json(admin::RenderConfigDump(dump)));
}

void AdminPages::Certs(const Request&, Done done) {
  done(Response::Json(admin::RenderCerts(params_.secrets.Current().get(),
                                         params_.identity.renew_at(),
                                         params_.dispatcher.clock().Wall())));
}

void AdminPages::Clusters(const Request& request, Done done) {
  const bool json = Query(request, "format") == "json";
  GatherFromWorkers<admin::ClusterInfo>(
      params_.dispatcher, params_.workers,
      [](Worker& worker, auto answer) { worker.CollectClusters(std::move(answer)); },
      [json, done = std::move(done)](std::vector<admin::ClusterInfo> parts) {
        const std::vector<admin::ClusterInfo> clusters = admin::MergeClusters(std::move(parts));
        done(json ? Response::Json(admin::RenderClustersJson(clusters))
                  : Response::Text(200, admin::RenderClustersText(clusters)));
      });
}

void AdminPages::Connections(const Request& request, Done done) {
  size_t limit = kDefaultConnectionLimit;
  if (const absl::string_view given = Query(request, "limit"); !given.empty()) {
    if (!absl::SimpleAtoi(given, &limit) || limit > kMaxConnectionLimit) {
      done(Response::Text(
          400, absl::StrCat("limit must be a number up to ", kMaxConnectionLimit, "\n")));
      return;
    }
  }
  const bool text = Query(request, "format") == "text";
  GatherFromWorkers<ConnectionInfo>(
      params_.dispatcher, params_.workers,
      [limit](Worker& worker, auto answer) { worker.CollectConnections(limit, std::move(answer)); },
      [this, text, done = std::move(done)](std::vector<ConnectionInfo> connections) {
        const absl::Time now = params_.dispatcher.clock().Wall();
        done(text ? Response::Text(200, RenderConnectionsText(connections, now))
                  : Response::Json(RenderConnectionsJson(connections, now)));
      });
}

void AdminPages::Logging(const Request&, Done done) {
  const spdlog::string_view_t level = spdlog::level::to_string_view(spdlog::get_level());
  done(Response::Text(
      200, absl::StrCat("level: ", absl::string_view(level.data(), level.size()), "\n")));
}

void AdminPages::SetLogging(const Request& request, Done done) {
  const absl::string_view level = Query(request, "level");
  if (std::find(std::begin(kLevels), std::end(kLevels), level) == std::end(kLevels)) {
    done(Response::Text(400,
                        absl::StrCat("level must be one of ", absl::StrJoin(kLevels, ", "), "\n")));
    return;
  }
  spdlog::set_level(spdlog::level::from_str(std::string(level)));
  spdlog::warn("the log level is {} now, by the admin page", std::string(level));
  Logging(request, std::move(done));
}

void AdminPages::DrainListeners(const Request&, Done done) {
  params_.start_drain();
  done(Response::Text(200, "draining\n"));
}

void AdminPages::FailHealthCheck(const Request&, Done done) {
  told_to_fail_ = true;
  spdlog::warn("readiness fails from now on, by the admin page");
  done(Response::Text(200, "failing\n"));
}

void AdminPages::PassHealthCheck(const Request&, Done done) {
  told_to_fail_ = false;
  spdlog::warn("readiness is judged by its reasons again, by the admin page");
  done(ReadyResponse());
}

}  // namespace countersign::server
