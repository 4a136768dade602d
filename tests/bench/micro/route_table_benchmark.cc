// What a route look-up costs as the configuration grows: `bazel run
// //tests/bench/micro:route_table_benchmark`.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "proxy/router/route_table.h"

namespace countersign::router {
namespace {

// Virtual hosts as a mesh has them: each with four exact names and five routes.
std::shared_ptr<const config::RouteConfiguration> Table(int64_t hosts) {
  auto table = std::make_shared<config::RouteConfiguration>();
  for (int64_t i = 0; i < hosts; ++i) {
    config::VirtualHost& host = table->virtual_hosts.emplace_back();
    const std::string name = absl::StrCat("service-", i);
    host.domains = {name, name + ".shop", name + ".shop.svc", name + ".shop.svc.cluster.local"};
    for (const char* prefix : {"/login", "/cart", "/static", "/api", "/"}) {
      config::Route& route = host.routes.emplace_back();
      route.match.path = {.kind = config::PathMatch::Kind::kPathPrefix, .text = prefix};
    }
  }
  return table;
}

void Run(benchmark::State& state, const RouteTable& table, absl::string_view authority,
         absl::string_view path) {
  http::RequestHead head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = authority;
  head.path = path;
  for (const char* name : {"user-agent", "accept", "x-request-id", "traceparent"}) {
    head.headers.Add(name, "0123456789abcdef0123456789abcdef");
  }
  if (table.Find(head).route == nullptr) state.SkipWithError("no route");
  for (auto _ : state) benchmark::DoNotOptimize(table.Find(head));
}

void ExactHost(benchmark::State& state) {
  const RouteTable table(Table(state.range(0)));
  Run(state, table, absl::StrCat("service-", state.range(0) / 2, ".shop.svc.cluster.local:8080"),
      "/api/v1/items?page=2");
}
BENCHMARK(ExactHost)->ArgName("hosts")->Arg(10)->Arg(1'000)->Arg(10'000);

void SuffixHost(benchmark::State& state) {
  config::RouteConfiguration config = *Table(state.range(0));
  for (config::VirtualHost& host : config.virtual_hosts) {
    host.domains = {"*." + host.domains.back()};
  }
  const RouteTable table(std::make_shared<config::RouteConfiguration>(config));
  Run(state, table, absl::StrCat("a.service-", state.range(0) / 2, ".shop.svc.cluster.local"),
      "/api/v1/items?page=2");
}
BENCHMARK(SuffixHost)->ArgName("hosts")->Arg(10)->Arg(1'000);

// The table that every destination has by default: one virtual host, one route.
void AnyHost(benchmark::State& state) {
  auto config = std::make_shared<config::RouteConfiguration>();
  config->virtual_hosts.push_back({.name = "all", .domains = {"*"}, .routes = {{}}});
  Run(state, RouteTable(config), "service-1.shop:8080", "/api/v1/items?page=2");
}
BENCHMARK(AnyHost);

// A gRPC service's methods, each with a route of its own.
void ExactPaths(benchmark::State& state) {
  auto config = std::make_shared<config::RouteConfiguration>();
  config::VirtualHost& host = config->virtual_hosts.emplace_back();
  host.domains = {"*"};
  for (int64_t i = 0; i < state.range(0); ++i) {
    config::Route& route = host.routes.emplace_back();
    route.match.path = {.kind = config::PathMatch::Kind::kExact,
                        .text = absl::StrCat("/shop.v1.Orders/Method", i)};
  }
  Run(state, RouteTable(config), "orders.shop:8080",
      absl::StrCat("/shop.v1.Orders/Method", state.range(0) - 1));
}
BENCHMARK(ExactPaths)->ArgName("routes")->Arg(10)->Arg(1'000);

}  // namespace
}  // namespace countersign::router

BENCHMARK_MAIN();
