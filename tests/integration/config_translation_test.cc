// Whatever the control plane compiles, the proxy takes: every resource of the golden files, and of
// settings at their bounds.
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/xds/discovery.pb.h"
#include "control/compile/compiler.h"
#include "control/registry/file/resource_loader.h"
#include "gtest/gtest.h"
#include "proxy/xds/resource_store.h"

namespace countersign {
namespace {

using control::compile::Compiled;
using control::compile::Compiler;
using control::compile::Type;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::shared_ptr<const control::registry::Model> ModelOf(const std::string& yaml) {
  std::vector<control::registry::ConfigError> errors;
  const auto resources = control::registry::LoadResources("test.yaml", yaml, {}, &errors);
  std::vector<const control::registry::Resource*> pointers;
  for (const auto& resource : resources) {
    pointers.push_back(&resource);
  }
  auto model = control::registry::Model::Build(pointers, 1, absl::UnixEpoch(), &errors);
  for (const auto& error : errors) {
    ADD_FAILURE() << error.ToString();
  }
  return model;
}

xds::ResourceType TypeOf(Type type) {
  switch (type) {
    case Type::kCluster:
      return xds::ResourceType::kCluster;
    case Type::kEndpoints:
      return xds::ResourceType::kEndpoints;
    case Type::kListener:
      return xds::ResourceType::kListener;
    case Type::kRoutes:
      return xds::ResourceType::kRoutes;
  }
  return xds::ResourceType::kListener;
}

// Feeds everything that there is to a proxy's store; each destination must come out whole.
void ExpectTaken(const std::string& yaml) {
  const auto model = ModelOf(yaml);
  ASSERT_NE(model, nullptr);
  const Compiler compiler(model);
  xds::ResourceStore store;
  std::vector<net::Address> addresses;
  for (const std::string& name : compiler.Names(Type::kListener)) {
    if (const auto address = xds::DestinationOfName(name); address.has_value()) {
      store.Want(*address);
      addresses.push_back(*address);
    }
  }
  const auto feed = [&](Type type, const std::string& name,
                        const control::registry::Workload* self) {
    const std::shared_ptr<const Compiled> compiled = compiler.Compile(type, name, self);
    if (compiled == nullptr) {
      store.Remove(TypeOf(type), name);
      return;
    }
    envoy::service::discovery::v3::Resource resource;
    ASSERT_TRUE(resource.ParseFromString(compiled->bytes));
    const absl::Status status =
        store.Update(TypeOf(type), name, compiled->version, resource.resource());
    EXPECT_TRUE(status.ok()) << name << ": " << status.message();
  };
  for (const control::registry::Workload& workload : model->workloads()) {
    if (!workload.identity.empty()) {
      feed(Type::kListener, "inbound", &workload);
    }
  }
  for (Type type : control::compile::kPushOrder) {
    for (const std::string& name : compiler.Names(type)) {
      if (!Compiler::IsPerProxy(type, name)) {
        feed(type, name, nullptr);
      }
    }
  }
  // What routes refer to and is not there, as the control plane would say it.
  for (xds::ResourceType type : {xds::ResourceType::kCluster, xds::ResourceType::kEndpoints}) {
    for (const std::string& name : store.Missing(type)) {
      feed(type == xds::ResourceType::kCluster ? Type::kCluster : Type::kEndpoints, name, nullptr);
    }
  }
  store.Publish();
  EXPECT_NE(store.proxy_config(), nullptr);
  for (const net::Address& address : addresses) {
    const auto destination = store.Find(address);
    ASSERT_NE(destination, nullptr) << address.ToString();
    EXPECT_EQ(destination->kind, config::Destination::Kind::kCluster) << address.ToString();
  }
}

TEST(ConfigTranslationTest, EveryGoldenResourceIsTaken) {
  for (const char* name : {"modes", "destinations", "routes"}) {
    SCOPED_TRACE(name);
    ExpectTaken(ReadFile(absl::StrCat("control/compile/testdata/", name, ".in.yaml")));
  }
}

TEST(ConfigTranslationTest, SettingsAtTheirBoundsAreTaken) {
  ExpectTaken(R"(
apiVersion: countersign.dev/v1alpha1
kind: Mesh
metadata: {name: m}
spec:
  http: {requestHeadersTimeout: 1ms, streamIdleTimeout: 8784h, idleTimeout: 8784h, maxConnectionDuration: 0s,
         maxRequestHeadersKb: 128, maxHeadersCount: 10000, maxConcurrentStreams: 100000, forwardClientCert: NONE}
  tracing: {randomSamplingPercentage: 100}
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: w, labels: {app: w}}
spec: {addresses: [10.0.0.1], locality: r, weight: 1000000, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: w}
spec: {selector: {app: w}, clusterIP: 10.96.0.1, ports: [{name: http, port: 80}, {name: grpc, port: 81}]}
---
apiVersion: countersign.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: w}
spec:
  targetRef: {name: w, port: 80}
  loadBalancer:
    consistentHash: {httpCookie: {name: c, path: /a, ttl: 8760h}, ringHash: {minimumRingSize: 8388608}}
  connectionPool:
    tcp: {maxConnections: 1000000000, connectTimeout: 10m}
    http: {idleTimeout: 8760h, maxConnectionDuration: 1ms, maxConcurrentStreams: 100000}
  outlierDetection: {consecutive5xxErrors: 0, interval: 1ms, baseEjectionTime: 8760h, maxEjectionPercent: 100, minHealthPercent: 0}
  healthChecks: [{tcp: {}, timeout: 10ms, interval: 24h, unhealthyThreshold: 1000}]
  retries: {attempts: 20, retryOn: "599,5xx", perTryTimeout: 24h, backoff: 1h}
  timeout: 24h
  idleTimeout: 0s
  maxGrpcTimeout: 24h
  fault: {delay: {percentage: {value: 100}, fixedDelay: 1h}, abort: {percentage: {value: 0}, grpcStatus: 16}}
---
apiVersion: countersign.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: g}
spec:
  targetRef: {name: w, sectionName: grpc}
  loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 5000011}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{kind: Service, name: w}]
  hostnames: ["*.a", b]
  rules:
  - matches: [{path: {value: /a}}]
    filters:
    - {type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ""}, port: 65535, statusCode: 308}}
  - matches: [{path: {value: /b}}, {path: {value: /}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /c\d}}}]
    backendRefs: [{name: w, port: 80, weight: 1000000}, {name: nobody, port: 1, weight: 1000000}]
    timeouts: {request: 24h, backendRequest: 24h}
    retry: {codes: [400, 599], attempts: 20, backoff: 1h}
  - matches: [{path: {type: Exact, value: /e}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: '/x\1'}}}]
    backendRefs: [{name: w, port: 80}]
)");
}

}  // namespace
}  // namespace countersign
