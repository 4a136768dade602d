// countersign-proxy.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "proxy/main/flags.h"
#include "proxy/main/hardening.h"
#include "proxy/main/log_setup.h"
#include "proxy/server/server.h"

int main(int argc, char** argv) {
  namespace program = countersign::main;
  absl::StatusOr<program::Settings> settings =
      program::ParseFlags(std::vector<std::string>(argv + 1, argv + argc), std::getenv);
  if (settings.status().code() == absl::StatusCode::kCancelled) {
    std::printf("%s", std::string(settings.status().message()).c_str());
    return 0;
  }
  if (!settings.ok()) {
    std::fprintf(stderr, "countersign-proxy: %s\n",
                 std::string(settings.status().message()).c_str());
    return 2;
  }
  if (!settings->allow_core_dumps) {
    program::ForbidDumps();
  }
  program::RaiseDescriptorLimit();
  program::SetUpAllocator();
  program::SetUpControlStreams();
  program::SetUpSignals();
  program::SetUpLogging(settings->log_level, settings->log_json);
  countersign::server::Server server(std::move(settings->server));
  const absl::Status started = server.Start();
  if (!started.ok()) {
    std::fprintf(stderr, "countersign-proxy: %s\n", std::string(started.message()).c_str());
    return 1;
  }
  return server.Run();
}
