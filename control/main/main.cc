// countersign-control: certificate authority, identities and configuration of a mesh.
#include <fcntl.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "control/attest/join_token_store.h"
#include "control/identity/deny_list_file.h"
#include "control/identity/svid_issuer.h"
#include "control/main/hardening.h"
#include "control/server/rotating_server_credentials.h"
#include "control/server/server.h"
#include "control/state/state_dir.h"

namespace countersign::control {
namespace {

int stop_pipe[2];

extern "C" void OnStopSignal(int) {
  const char byte = 0;
  // A full pipe says the same.
  [[maybe_unused]] const ssize_t written = write(stop_pipe[1], &byte, 1);
}

bool CatchSignals() {
  if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  struct sigaction action = {};
  action.sa_handler = OnStopSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  // Configuration is watched; there is nothing to reload.
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  return true;
}

// A flag's duration, as in 10m or 1h30m.
std::string ParseDuration(const std::string& text, absl::Duration* duration) {
  if (!absl::ParseDuration(text, duration) || *duration <= absl::ZeroDuration()) {
    return absl::StrCat("\"", text, "\" is no duration such as 90s, 10m or 24h");
  }
  return {};
}

struct TokenFlags {
  std::string state_dir;
  std::string spiffe_id;
  absl::Duration ttl = absl::Minutes(10);
  int count = 1;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "countersign-control: %s\n", std::string(status.message()).c_str());
  return 1;
}

int CreateToken(const TokenFlags& flags) {
  absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(flags.spiffe_id);
  if (!id.ok()) return Fail(id.status());
  if (id->path().empty() ||
      id->path().substr(0, identity::kReservedPath.size()) == identity::kReservedPath) {
    return Fail(
        absl::InvalidArgumentError("the SPIFFE ID must name a workload: "
                                   "spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT"));
  }
  absl::Status status = state::OpenStateDir(flags.state_dir);
  if (!status.ok()) return Fail(status);
  auto store = attest::JoinTokenStore::Open(flags.state_dir);
  if (!store.ok()) return Fail(store.status());
  for (int i = 0; i < flags.count; ++i) {
    absl::StatusOr<std::string> token = (*store)->Create(*id, absl::Now() + flags.ttl);
    if (!token.ok()) return Fail(token.status());
    std::printf("%s\n", token->c_str());
  }
  return 0;
}

struct DenyFlags {
  std::string state_dir;
  std::string spiffe_id;
  std::string certificate;
};

int Deny(const DenyFlags& flags, bool add) {
  absl::Status status = state::OpenStateDir(flags.state_dir);
  if (!status.ok()) return Fail(status);
  identity::DenyListFile list(flags.state_dir);
  if (!flags.certificate.empty()) {
    std::ifstream file(flags.certificate, std::ios::binary);
    const std::string pem((std::istreambuf_iterator<char>(file)), {});
    status = list.AddCertificate(pem);
    return status.ok() ? 0 : Fail(status);
  }
  absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(flags.spiffe_id);
  if (!id.ok()) return Fail(id.status());
  status = add ? list.Add(*id) : list.Remove(*id);
  return status.ok() ? 0 : Fail(status);
}

int Serve(const server::Server::Options& options) {
  if (!CatchSignals()) return Fail(absl::InternalError("no pipe for signals"));
  server::RequireTls13();
  auto server = server::Server::Start(options, stop_pipe[0]);
  if (absl::IsCancelled(server.status())) return 0;
  if (!server.ok()) {
    spdlog::critical("{}", std::string(server.status().message()));
    return 1;
  }
  (*server)->Run(stop_pipe[0]);
  spdlog::info("stopping");
  return 0;
}

int Main(int argc, char** argv) {
  HardenProcess();
  // Debian's abseil looks for lock cycles at every lock; gRPC locks a great deal.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  CLI::App app("Countersign's control plane: certificate authority, identities, configuration");
  app.require_subcommand(0, 1);
  server::Server::Options options;
  options.listen = {"0.0.0.0:15012"};
  options.metrics_listen = "127.0.0.1:15014";
  std::string log_level = "info";

  const auto duration_flag = [](CLI::App* where, const char* flag, absl::Duration* value,
                                const char* help, const char* env) {
    where
        ->add_option_function<std::string>(
            flag,
            [value](const std::string& text) {
              const std::string error = ParseDuration(text, value);
              if (!error.empty()) throw CLI::ValidationError(error);
            },
            help)
        ->default_str(absl::FormatDuration(*value))
        ->envname(env);
  };
  CLI::Option* config_dir =
      app.add_option("--config-dir", options.config_dir, "folder of YAML to watch")
          ->envname("COUNTERSIGN_CONFIG_DIR");
  CLI::Option* state_dir =
      app.add_option("--state-dir", options.state_dir,
                     "folder for the authority's keys and join tokens; made when missing")
          ->envname("COUNTERSIGN_STATE_DIR");
  app.add_option("--listen", options.listen, "ADDRESS:PORT of gRPC over TLS; may be given again")
      ->envname("COUNTERSIGN_LISTEN")
      ->capture_default_str();
  app.add_option("--metrics-listen", options.metrics_listen,
                 "ADDRESS:PORT of /metrics, /ready and /healthz over plain HTTP")
      ->envname("COUNTERSIGN_METRICS_LISTEN")
      ->capture_default_str();
  app.add_option("--log-level", log_level, "trace, debug, info, warn, error or off")
      ->envname("COUNTERSIGN_LOG_LEVEL")
      ->capture_default_str();
  app.add_option("--max-streams", options.max_streams, "identity streams, one a connected proxy")
      ->envname("COUNTERSIGN_MAX_STREAMS")
      ->capture_default_str();
  duration_flag(&app, "--root-ttl", &options.root_ttl, "life of a root that is made now",
                "COUNTERSIGN_ROOT_TTL");
  duration_flag(&app, "--intermediate-ttl", &options.intermediate_ttl,
                "life of the online intermediate, which is renewed at half of it",
                "COUNTERSIGN_INTERMEDIATE_TTL");

  CLI::App* token = app.add_subcommand("token", "join tokens, for proxies outside Kubernetes");
  token->require_subcommand(1);
  CLI::App* create =
      token->add_subcommand("create", "make a token that is good once, for one identity");
  TokenFlags token_flags;
  create->add_option("--state-dir", token_flags.state_dir, "the control plane's state folder")
      ->envname("COUNTERSIGN_STATE_DIR")
      ->required();
  create->add_option("--spiffe-id", token_flags.spiffe_id, "the identity that it gives")
      ->required();
  create->add_option("--count", token_flags.count, "how many tokens to make, one a line")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  duration_flag(create, "--ttl", &token_flags.ttl, "how long it may be used",
                "COUNTERSIGN_TOKEN_TTL");

  CLI::App* deny = app.add_subcommand("deny", "identities and certificates that are refused");
  deny->require_subcommand(1);
  DenyFlags deny_flags;
  const auto deny_command = [&](const char* name, const char* help) {
    CLI::App* command = deny->add_subcommand(name, help);
    command->add_option("--state-dir", deny_flags.state_dir, "the control plane's state folder")
        ->envname("COUNTERSIGN_STATE_DIR")
        ->required();
    return command;
  };
  CLI::App* deny_add = deny_command("add", "refuse from now on, everywhere in the mesh");
  CLI::Option_group* what = deny_add->add_option_group("what");
  what->add_option("--spiffe-id", deny_flags.spiffe_id, "every certificate of this identity");
  what->add_option("--certificate", deny_flags.certificate, "PEM file: this one certificate");
  what->require_option(1);
  CLI::App* deny_remove = deny_command("remove", "allow an identity again");
  deny_remove->add_option("--spiffe-id", deny_flags.spiffe_id, "the identity")->required();

  CLI11_PARSE(app, argc, argv);
  if (deny_add->parsed() || deny_remove->parsed()) return Deny(deny_flags, deny_add->parsed());
  if (create->parsed()) return CreateToken(token_flags);
  if (config_dir->empty() || state_dir->empty()) {
    return Fail(
        absl::InvalidArgumentError("--config-dir and --state-dir are required; see --help"));
  }
  spdlog::set_default_logger(spdlog::stderr_color_mt("control"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  spdlog::set_level(spdlog::level::from_str(log_level));
  return Serve(options);
}

}  // namespace
}  // namespace countersign::control

int main(int argc, char** argv) { return countersign::control::Main(argc, argv); }
