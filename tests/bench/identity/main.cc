// bench-identity: loads a control plane with simulated proxies, phase by phase. After each phase it
// prints one line of JSON and waits for a line on standard input, so that the caller can read the
// control plane's CPU and memory in between.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/identity/crowd.h"

namespace countersign::bench {
namespace {

std::vector<std::string> ReadLines(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Say(const nlohmann::ordered_json& line) {
  std::cout << line.dump() << std::endl;
  std::string go;
  std::getline(std::cin, go);
}

void SayFigures(const char* phase, const CrowdFigures& figures) {
  Say({{"phase", phase},
       {"certificates", figures.certificates},
       {"failures", figures.failures},
       {"first_failure", figures.first_failure},
       {"retries", figures.retries},
       {"secs", figures.seconds},
       {"p50_ms", figures.p50_ms},
       {"p99_ms", figures.p99_ms}});
}

int Main(int argc, char** argv) {
  CLI::App app("Loads a Countersign control plane with simulated proxies.");
  Crowd::Options options;
  std::string bundle;
  std::string tokens;
  int renewals = 1;
  app.add_option("--control", options.target, "HOST:PORT of the control plane")->required();
  app.add_option("--trust-bundle", bundle, "PEM file of its trust bundle")->required();
  app.add_option("--tokens", tokens, "a file with a join token for each proxy")->required();
  app.add_option("--connections", options.connections, "shared by the proxies")
      ->capture_default_str();
  app.add_option("--window", options.window, "requests under way at the same time")
      ->capture_default_str();
  app.add_option("--renewals", renewals, "how often every proxy renews")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.trust_bundle_pem = ReadFile(bundle);
  options.tokens = ReadLines(tokens);

  std::optional<Crowd> crowd(std::in_place, std::move(options));
  Say({{"phase", "ready"}});
  SayFigures("attest", crowd->Attest());
  for (int i = 0; i < renewals; ++i) SayFigures("renew", crowd->Renew());
  crowd.reset();
  Say({{"phase", "closed"}});
  return 0;
}

}  // namespace
}  // namespace countersign::bench

int main(int argc, char** argv) { return countersign::bench::Main(argc, argv); }
