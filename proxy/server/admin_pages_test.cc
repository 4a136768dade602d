// The table of admin pages over real clients, stores and workers; only the control plane is played.
#include "proxy/server/admin_pages.h"

#include <spdlog/spdlog.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "api/identity/v1/identity.pb.h"
#include "gmock/gmock.h"
#include "proxy/identity/control_stream.h"
#include "proxy/server/worker_fixture.h"

namespace countersign::server {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kControlId[] = "spiffe://cluster.local/countersign/control";

// A control plane that hears, and says what the test hands it.
class Dialer final : public identity::ControlDialer {
 public:
  std::unique_ptr<identity::ControlStream> Open(
      const identity::ControlStreamParams&, identity::ControlStream::Handler& handler) override {
    this->handler = &handler;
    return std::make_unique<Stream>(*this);
  }

  identity::ControlStream::Handler* handler = nullptr;
  std::vector<std::string> heard;

 private:
  class Stream final : public identity::ControlStream {
   public:
    explicit Stream(Dialer& dialer) : dialer_(dialer) {}
    void Send(std::string message) override { dialer_.heard.push_back(std::move(message)); }

   private:
    Dialer& dialer_;
  };
};

class AdminPagesTest : public ::testing::Test {
 protected:
  AdminPagesTest()
      : identity_(IdentityOptions(), identity_dialer_, secrets_, dispatcher_.timers(), stats_),
        xds_(XdsOptions(), xds_dialer_, dispatcher_, stats_) {
    options_.flags = {{"control", "control:15012"}};
    for (int i = 0; i < 2; ++i) {
      WorkerOptions options;
      fronts_.push_back(Local(FreePort()));
      options.forwards = {{fronts_.back(), application_.address()}};
      workers_.push_back(std::make_unique<Worker>(options, discovery_, stats_));
    }
    pages_.emplace(AdminPagesParams{.options = options_,
                                    .dispatcher = dispatcher_,
                                    .stats = stats_,
                                    .secrets = secrets_,
                                    .config = config_,
                                    .identity = identity_,
                                    .xds = xds_,
                                    .workers = workers_,
                                    .start_drain = [this] {
                                      ++drains_;
                                      pages_->SetDraining();
                                    }});
  }

  // Turns the main loop until the page has answered.
  admin::Response Ask(const std::string& method, const std::string& target,
                      bool from_network = false) {
    admin::Request request;
    request.method = method;
    request.path = target.substr(0, target.find('?'));
    if (request.path.size() < target.size()) {
      const std::string query = target.substr(request.path.size() + 1);
      const size_t equals = query.find('=');
      request.query[query.substr(0, equals)] = query.substr(equals + 1);
    }
    std::optional<admin::Response> answer;
    const auto done = [&](admin::Response response) { answer = std::move(response); };
    if (from_network) {
      pages_->HandlePublic(request, done);
    } else {
      pages_->Handle(request, done);
    }
    for (int i = 0; i < 1000 && !answer.has_value(); ++i) {
      dispatcher_.RunTurn(false);
      if (!answer.has_value()) absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_TRUE(answer.has_value()) << target;
    return answer.value_or(admin::Response{.status = 0});
  }
  admin::Response Get(const std::string& target) { return Ask("GET", target); }

  // The control plane answers our request for a certificate.
  void Certify() {
    identity_.Start();
    identity::v1::IdentityRequest asked;
    ASSERT_TRUE(asked.ParseFromString(identity_dialer_.heard.at(0)));
    const auto* at = reinterpret_cast<const uint8_t*>(asked.csr().data());
    spiffe::X509ReqPtr csr(d2i_X509_REQ(nullptr, &at, static_cast<long>(asked.csr().size())));
    spiffe::testing::LeafOptions leaf;
    leaf.uris = {kClientId};
    leaf.key = X509_REQ_get0_pubkey(csr.get());
    identity::v1::IdentityResponse response;
    response.set_request_id(asked.request_id());
    response.set_version(1);
    response.mutable_svid()->set_spiffe_id(kClientId);
    for (const std::string& der : authority_.Issue(leaf).chain_der) {
      response.mutable_svid()->add_chain(der);
    }
    response.mutable_trust_bundles()->set_epoch(1);
    auto* bundle = response.mutable_trust_bundles()->add_bundles();
    bundle->set_trust_domain("cluster.local");
    bundle->add_authorities(authority_.root_der());
    response.mutable_deny_list()->set_epoch(1);
    identity_dialer_.handler->OnMessage(response.SerializeAsString());
  }

  identity::IdentityClientOptions IdentityOptions() {
    identity::IdentityClientOptions options;
    options.control_id = *spiffe::SpiffeId::Parse(kControlId);
    options.bootstrap_bundles = [this] {
      return absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>>(authority_.bundles(0));
    };
    options.join_token = []() -> absl::StatusOr<std::string> { return std::string("token"); };
    options.random = [] { return 0.5; };
    return options;
  }
  static xds::XdsClientOptions XdsOptions() {
    xds::XdsClientOptions options;
    options.control_id = *spiffe::SpiffeId::Parse(kControlId);
    options.random = [] { return 0.5; };
    return options;
  }

  Application application_{Echo};
  TestAuthority authority_{"cluster.local"};
  TableDiscovery discovery_;
  event::Dispatcher dispatcher_;
  stats::Registry stats_;
  Options options_;
  Dialer identity_dialer_;
  Dialer xds_dialer_;
  identity::SecretStore secrets_;
  admin::ConfigMirror config_;
  identity::IdentityClient identity_;
  xds::XdsClient xds_;
  std::vector<net::Address> fronts_;
  Workers workers_;
  std::optional<AdminPages> pages_;
  int drains_ = 0;
};

TEST_F(AdminPagesTest, EveryPageThatHelpNamesAnswersItsMethodAndRefusesTheOther) {
  for (const auto& worker : workers_) ASSERT_TRUE(worker->Start().ok());
  const admin::Response help = Get("/help");
  EXPECT_EQ(help.status, 200);
  EXPECT_EQ(Get("/").body, help.body);
  std::istringstream lines(help.body);
  int pages = 0;
  for (std::string line; std::getline(lines, line); ++pages) {
    std::istringstream words(line);
    std::string path, method, about;
    words >> path >> method;
    std::getline(words, about);
    EXPECT_FALSE(about.empty()) << line;
    EXPECT_THAT(Ask(method, path).status, AnyOf(200, 400, 503)) << line;
    // The one page that takes both; its POST misses the level.
    const int other = path != "/logging" ? 405 : method == "GET" ? 400 : 200;
    EXPECT_EQ(Ask(method == "GET" ? "POST" : "GET", path).status, other) << line;
  }
  EXPECT_GT(pages, 10);
  EXPECT_EQ(Ask("HEAD", "/help").body, help.body);
  EXPECT_EQ(Get("/help/me").status, 404);
  EXPECT_EQ(Get("/Help").status, 404);
}

TEST_F(AdminPagesTest, ReadinessNamesEachReasonWhileThereIsOne) {
  EXPECT_EQ(Get("/ready").status, 503);
  EXPECT_THAT(Get("/ready").body, AllOf(HasSubstr("identity: no certificate yet"),
                                        HasSubstr("configuration: none has come")));
  Certify();
  EXPECT_THAT(Get("/ready").body, AllOf(Not(HasSubstr("identity")), HasSubstr("configuration")));
  EXPECT_THAT(Get("/metrics").body, HasSubstr("countersign_ready 0\n"));
  config_.OnProxyConfig(ConfigOf(MtlsMode::kStrict));
  EXPECT_EQ(Get("/ready").status, 200);
  EXPECT_EQ(Get("/healthz/ready").body, "ready\n");
  EXPECT_EQ(Ask("GET", "/healthz/ready", /*from_network=*/true).status, 200);
  EXPECT_THAT(Get("/metrics").body, HasSubstr("countersign_ready 1\n"));
}

TEST_F(AdminPagesTest, ReadinessCanBeToldToFailAndTakenBack) {
  Certify();
  config_.OnProxyConfig(ConfigOf(MtlsMode::kStrict));
  EXPECT_EQ(Ask("POST", "/healthcheck/fail").status, 200);
  EXPECT_THAT(Get("/ready").body, HasSubstr("POST /healthcheck/ok"));
  EXPECT_EQ(Ask("GET", "/healthz/ready", /*from_network=*/true).status, 503);
  EXPECT_EQ(Ask("POST", "/healthcheck/ok").body, "ready\n");
  EXPECT_EQ(Get("/ready").status, 200);
}

TEST_F(AdminPagesTest, DrainingIsAskedForByPostAloneAndIsNotTakenBack) {
  Certify();
  config_.OnProxyConfig(ConfigOf(MtlsMode::kStrict));
  EXPECT_EQ(Get("/drain_listeners").status, 405);
  EXPECT_EQ(Ask("POST", "/drain_listeners", /*from_network=*/true).status, 405);
  EXPECT_EQ(drains_, 0);
  EXPECT_EQ(Get("/ready").status, 200);
  EXPECT_EQ(Ask("POST", "/drain_listeners").body, "draining\n");
  EXPECT_EQ(drains_, 1);
  EXPECT_THAT(Get("/ready").body, StartsWith("draining: "));
  EXPECT_EQ(Ask("POST", "/healthcheck/ok").status, 503);
}

TEST_F(AdminPagesTest, TheNetworkSeesMetricsAndReadinessAlone) {
  EXPECT_THAT(Ask("GET", "/metrics", true).body, HasSubstr("countersign_ready 0\n"));
  EXPECT_EQ(Ask("GET", "/healthz/ready", true).status, 503);
  for (const char* page : {"/", "/help", "/config_dump", "/certs", "/connections", "/logging"}) {
    EXPECT_EQ(Ask("GET", page, true).status, 404) << page;
    EXPECT_EQ(Ask("POST", page, true).status, 405) << page;
  }
}

TEST_F(AdminPagesTest, ConnectionsAndClustersAreThoseOfAllWorkers) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "default/server";
  cluster->endpoints.emplace_back().address = application_.address();
  auto destination = std::make_shared<Destination>();
  destination->kind = Destination::Kind::kCluster;
  destination->cluster = cluster;
  std::vector<int> fds;
  for (size_t i = 0; i < workers_.size(); ++i) {
    ASSERT_TRUE(workers_[i]->Start().ok());
    workers_[i]->OnProxyConfig(ConfigOf(MtlsMode::kStrict));
    workers_[i]->OnDestination(application_.address(), destination);
    fds.push_back(Dial(fronts_[i]));
    ASSERT_TRUE(WriteAll(fds[i], "x"));
    ASSERT_EQ(ReadAll(fds[i], 1), "x");
  }
  const nlohmann::json all = nlohmann::json::parse(Get("/connections").body)["connections"];
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["upstream"], application_.address().ToString());
  EXPECT_THAT(Get("/connections?format=text").body, StartsWith("DIRECTION"));
  // The limit is of each worker.
  EXPECT_EQ(nlohmann::json::parse(Get("/connections?limit=0").body)["connections"].size(), 0u);
  for (const char* limit : {"many", "-1", "100001"}) {
    EXPECT_EQ(Get(std::string("/connections?limit=") + limit).status, 400) << limit;
  }
  EXPECT_THAT(Get("/clusters").body,
              HasSubstr("default/server::default_priority::connections_active::2\n"));
  EXPECT_THAT(Get("/clusters?format=json").content_type, HasSubstr("json"));
  for (const int fd : fds) close(fd);
}

TEST_F(AdminPagesTest, TheLogLevelIsShownAndChanged) {
  const auto before = spdlog::get_level();
  EXPECT_EQ(Ask("POST", "/logging?level=error").body, "level: error\n");
  EXPECT_EQ(spdlog::get_level(), spdlog::level::err);
  EXPECT_EQ(Ask("POST", "/logging?level=loud").status, 400);
  EXPECT_EQ(Get("/logging").body, "level: error\n");
  spdlog::set_level(before);
}

TEST_F(AdminPagesTest, StatisticsAreFilteredAndABadExpressionIsExplained) {
  const std::string filtered = Get("/stats?filter=countersign_ready").body;
  EXPECT_THAT(filtered, HasSubstr("countersign_ready"));
  EXPECT_THAT(filtered, Not(HasSubstr("countersign_process")));
  EXPECT_TRUE(nlohmann::json::accept(Get("/stats?format=json").body));
  EXPECT_EQ(Get("/stats?format=prometheus").body.substr(0, 7), "# HELP ");
  EXPECT_EQ(Get("/stats?filter=(").status, 400);
}

TEST_F(AdminPagesTest, TheConfigurationAndTheCertificateAreShownTheKeyIsNot) {
  Certify();
  config_.OnProxyConfig(ConfigOf(MtlsMode::kStrict));
  const nlohmann::json dump = nlohmann::json::parse(Get("/config_dump").body);
  EXPECT_EQ(dump["flags"]["control"], "control:15012");
  EXPECT_EQ(dump["standing"]["outbound"]["mode"], "REGISTRY_ONLY");
  EXPECT_EQ(dump["xds"]["connected"], false);
  const std::string certs = Get("/certs").body;
  EXPECT_THAT(certs, HasSubstr(kClientId));
  EXPECT_THAT(certs, Not(HasSubstr("PRIVATE KEY")));
}

}  // namespace
}  // namespace countersign::server
