// Whose TrafficPolicy holds for calls to a pod's own address.
#include "control/compile/destination.h"

#include <string>

#include "control/compile/compiler.h"
#include "control/compile/test_model.h"
#include "gtest/gtest.h"

namespace countersign::control::compile {
namespace {

constexpr char kPod[] = R"(apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: db-0, labels: {app: db}}
spec: {addresses: [10.0.0.1], serviceAccount: db, ports: [{name: web, port: 8080}, {name: free, port: 9999}]}
)";

std::string Service(const std::string& name, const std::string& ip, const std::string& ports) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec:\n  selector: {app: db}\n  clusterIP: " + ip + "\n  ports: [" + ports + "]\n";
}

std::string Policy(const std::string& service, int connections, const std::string& port = "") {
  return "---\napiVersion: countersign.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: " +
         service + port + "}\nspec:\n  targetRef: {name: " + service +
         (port.empty() ? "" : ", sectionName: " + port) +
         "}\n  timeout: 3s\n  connectionPool: {tcp: {maxConnections: " +
         std::to_string(connections) + "}}\n";
}

// maxConnections of what is at the address; 0: none is said.
uint32_t LimitAt(const registry::Model& model, const char* address) {
  const auto destination = DestinationAt(model, *net::Address::Parse(address));
  if (!destination.has_value()) {
    ADD_FAILURE() << address;
    return 0;
  }
  const auto cluster = DestinationCluster(model, *destination);
  return cluster.circuit_breakers().thresholds().empty()
             ? 0
             : cluster.circuit_breakers().thresholds(0).max_connections().value();
}

constexpr char kWeb[] = "{name: http, port: 80, targetPort: web}";

TEST(DestinationTest, APodsOwnAddressHasThePolicyOfTheServiceThatLeadsThere) {
  for (const char* ip : {"None", "10.96.0.1"}) {
    const auto model = TestModel(kPod + Service("db", ip, kWeb) + Policy("db", 7));
    EXPECT_EQ(LimitAt(*model, "10.0.0.1:8080"), 7) << ip;
    EXPECT_EQ(LimitAt(*model, "10.0.0.1:9999"), 0) << "no Service leads to that port";
    // Time-outs, retries and faults stand in its routes.
    const auto routes = Compiler(model).Compile(
        Type::kRoutes, DestinationAt(*model, *net::Address::Parse("10.0.0.1:8080"))->ClusterName(),
        nullptr);
    ASSERT_NE(routes, nullptr);
    const auto without = Compiler(TestModel(kPod + Service("db", ip, kWeb)))
                             .Compile(Type::kRoutes, routes->name, nullptr);
    EXPECT_NE(routes->version, without->version);
  }
}

TEST(DestinationTest, OfSeveralServicesNoneIsMeantUnlessItIsTheOnlyHeadlessOne) {
  const std::string read = Service("read", "10.96.0.1", kWeb);
  const std::string write = Service("write", "10.96.0.2", kWeb);
  const std::string pods = Service("pods", "None", kWeb);
  const std::string more = Service("more", "None", kWeb);
  const auto limit = [](const std::string& services, const std::string& policies) {
    return LimitAt(*TestModel(kPod + services + policies), "10.0.0.1:8080");
  };
  EXPECT_EQ(limit(read + write, Policy("read", 7)), 0);
  EXPECT_EQ(limit(read + write + pods, Policy("read", 7) + Policy("pods", 8)), 8);
  EXPECT_EQ(limit(read + write + pods, Policy("read", 7)), 0);
  EXPECT_EQ(limit(read + pods + more, Policy("read", 7) + Policy("pods", 8)), 0);
}

TEST(DestinationTest, OfSeveralPortsOfOneServiceThePolicyMustBeTheSame) {
  const std::string both =
      "{name: http, port: 80, targetPort: 8080}, "
      "{name: http-old, port: 81, targetPort: 8080}";
  const auto limit = [&](const std::string& policies) {
    return LimitAt(*TestModel(kPod + Service("db", "10.96.0.1", both) + policies), "10.0.0.1:8080");
  };
  EXPECT_EQ(limit(Policy("db", 7)), 7);
  EXPECT_EQ(limit(Policy("db", 7) + Policy("db", 8, "http")), 0);
  EXPECT_EQ(limit(Policy("db", 8, "http") + Policy("db", 9, "http-old")), 0);
}

TEST(DestinationTest, WhatServicesSayOfEachOtherIsNoMatterOfTheirOwnAddresses) {
  const auto model =
      TestModel(kPod + Service("read", "10.96.0.1", kWeb) + Service("pods", "None", kWeb) +
                Policy("read", 7) + Policy("pods", 8));
  EXPECT_EQ(LimitAt(*model, "10.96.0.1:80"), 7);
}

}  // namespace
}  // namespace countersign::control::compile
