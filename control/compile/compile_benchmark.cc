// What a mesh of 10, 1,000 and 10,000 Services costs the control plane: building the Model,
// compiling what one proxy asks for, and recompiling what is subscribed to.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/compile/compiler.h"
#include "control/registry/file/resource_loader.h"

namespace countersign::control::compile {
namespace {

// Each Service has two workloads, a route and a policy.
std::vector<std::vector<registry::Resource>> Mesh(int services) {
  std::vector<std::vector<registry::Resource>> files;
  std::string text;
  const auto flush = [&] {
    std::vector<registry::ConfigError> errors;
    files.push_back(registry::LoadResources("f.yaml", text, {}, &errors));
    text.clear();
  };
  for (int i = 0; i < services; ++i) {
    const std::string ip = absl::StrCat(i / 65536, ".", i / 256 % 256, ".", i % 256);
    for (int j = 1; j <= 2; ++j) {
      absl::StrAppend(
          &text,
          "---\napiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: "
          "{name: w",
          i, "-", j, ", labels: {app: a", i, "}}\nspec: {addresses: [1", j, ".", ip,
          "], ports: [{name: http, port: 8080}]}\n");
    }
    absl::StrAppend(&text, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s", i,
                    "}\nspec: {selector: {app: a", i, "}, clusterIP: 10.", ip,
                    ", ports: [{name: http, port: 80, targetPort: http}]}\n---\napiVersion: "
                    "gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r",
                    i, "}\nspec: {parentRefs: [{kind: Service, name: s", i,
                    "}], rules: [{matches: [{path: {value: /a}}], backendRefs: [{name: s", i,
                    ", port: 80}]}]}\n---\napiVersion: countersign.dev/v1alpha1\nkind: "
                    "TrafficPolicy\nmetadata: {name: p",
                    i, "}\nspec: {targetRef: {name: s", i, "}, timeout: 5s}\n");
    if (i % 100 == 99) {
      flush();
    }
  }
  flush();
  return files;
}

std::vector<const registry::Resource*> Pointers(
    const std::vector<std::vector<registry::Resource>>& files) {
  std::vector<const registry::Resource*> pointers;
  for (const auto& file : files) {
    for (const registry::Resource& resource : file) {
      pointers.push_back(&resource);
    }
  }
  return pointers;
}

std::shared_ptr<const registry::Model> Build(
    const std::vector<const registry::Resource*>& resources) {
  std::vector<registry::ConfigError> errors;
  return registry::Model::Build(resources, 1, absl::UnixEpoch(), &errors);
}

void BM_BuildModel(benchmark::State& state) {
  const auto files = Mesh(static_cast<int>(state.range(0)));
  const auto pointers = Pointers(files);
  for (auto _ : state) {
    benchmark::DoNotOptimize(Build(pointers));
  }
}
BENCHMARK(BM_BuildModel)->Arg(10)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);

// Listener, routes, cluster and endpoints of one Service.
void BM_CompileOneDestination(benchmark::State& state) {
  const auto files = Mesh(static_cast<int>(state.range(0)));
  const Compiler compiler(Build(Pointers(files)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(compiler.Compile(Type::kListener, "outbound/10.0.0.5:80", nullptr));
    for (Type type : {Type::kRoutes, Type::kCluster, Type::kEndpoints}) {
      benchmark::DoNotOptimize(compiler.Compile(type, "service/default/s5:80/v4", nullptr));
    }
  }
}
BENCHMARK(BM_CompileOneDestination)->Arg(10)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

void BM_CompileInbound(benchmark::State& state) {
  const auto files = Mesh(static_cast<int>(state.range(0)));
  const Compiler compiler(Build(Pointers(files)));
  const registry::Workload* self = compiler.model().FindWorkload("default/w5-1");
  for (auto _ : state) {
    benchmark::DoNotOptimize(compiler.Compile(Type::kListener, "inbound", self));
  }
}
BENCHMARK(BM_CompileInbound)->Arg(10)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace countersign::control::compile

BENCHMARK_MAIN();
