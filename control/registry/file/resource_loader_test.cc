#include "control/registry/file/resource_loader.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "api/mesh/v1alpha1/mesh.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace api = mesh::v1alpha1;

std::vector<std::string> ErrorsIn(const std::string& yaml) {
  std::vector<ConfigError> errors;
  const std::vector<Resource> resources = LoadResources("f.yaml", yaml, {}, &errors);
  EXPECT_EQ(errors.empty(), !resources.empty() || yaml.empty());
  std::vector<std::string> texts;
  for (const ConfigError& error : errors) {
    texts.push_back(error.ToString());
  }
  return texts;
}

std::string Workload(const std::string& spec) {
  return absl::StrCat(
      "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
      "metadata: {name: web-1}\nspec:\n",
      spec);
}

std::string Mesh(const std::string& spec) {
  return absl::StrCat(
      "apiVersion: countersign.dev/v1alpha1\nkind: Mesh\nmetadata: {name: default}\nspec:\n", spec);
}

std::string Policy(const std::string& spec) {
  return absl::StrCat(
      "apiVersion: countersign.dev/v1alpha1\nkind: PeerAuthentication\n"
      "metadata: {name: strict}\nspec:\n",
      spec);
}

TEST(ResourceLoaderTest, ReadsEveryFieldOfAWorkload) {
  std::vector<ConfigError> errors;
  const std::vector<Resource> resources =
      LoadResources("f.yaml",
                    Workload("  addresses: [10.0.0.1, \"fd00::1\"]\n"
                             "  serviceAccount: web\n"
                             "  tunnel: TLS\n"
                             "  ports:\n"
                             "  - {name: http, port: 8080, protocol: TCP}\n"),
                    {}, &errors);
  ASSERT_EQ(resources.size(), 1) << errors[0].ToString();
  EXPECT_EQ(resources[0].Key(), "default/web-1");
  const auto& spec = resources[0].spec_as<api::ExternalWorkloadSpec>();
  EXPECT_THAT(spec.addresses(), ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_EQ(spec.tunnel(), api::ExternalWorkloadSpec::TLS);
  EXPECT_EQ(spec.ports(0).port(), 8080);
}

TEST(ResourceLoaderTest, AServiceThatKubectlTakesIsTaken) {
  EXPECT_THAT(ErrorsIn("apiVersion: v1\nkind: List\nitems:\n"
                       "- apiVersion: v1\n"
                       "  kind: Service\n"
                       "  metadata:\n"
                       "    name: web\n"
                       "    namespace: shop\n"
                       "    annotations: {a.b/c: anything at all}\n"
                       "    creationTimestamp: \"2024-01-01T00:00:00Z\"\n"
                       "    uid: 7a0d9a1e-0000-0000-0000-000000000000\n"
                       "    resourceVersion: \"17\"\n"
                       "  spec:\n"
                       "    clusterIP: 10.96.0.10\n"
                       "    clusterIPs: [10.96.0.10]\n"
                       "    internalTrafficPolicy: Cluster\n"
                       "    ipFamilies: [IPv4]\n"
                       "    ipFamilyPolicy: SingleStack\n"
                       "    ports:\n"
                       "    - {name: http, port: 80, protocol: TCP, targetPort: http}\n"
                       "    - {name: https, port: 443, targetPort: 8443, appProtocol: tls}\n"
                       "    selector: {app: web}\n"
                       "    sessionAffinity: None\n"
                       "    type: ClusterIP\n"
                       "  status: {loadBalancer: {}}\n"),
              ElementsAre());
}

TEST(ResourceLoaderTest, ErrorsNameFileLineColumnResourceFieldAndReason) {
  EXPECT_THAT(ErrorsIn(Workload("  adresses: [10.0.0.1]\n")),
              ElementsAre("f.yaml:5:3: ExternalWorkload/default/web-1: spec.adresses: unknown "
                          "field; did you mean `addresses`?"));
  EXPECT_THAT(ErrorsIn(Policy("  mtls:\n    mode: ON\n")),
              ElementsAre("f.yaml:6:11: PeerAuthentication/default/strict: spec.mtls.mode: must be "
                          "one of UNSET, DISABLE, PERMISSIVE, STRICT, not `ON`"));
  EXPECT_THAT(ErrorsIn(Workload("  addresses:\n  - 10.0.0.1\n  - 10.0.0.300\n")),
              ElementsAre(HasSubstr("f.yaml:7:5: ExternalWorkload/default/web-1: "
                                    "spec.addresses[1]: ")));
}

TEST(ResourceLoaderTest, EveryFaultOfAFileIsToldAtOnce) {
  EXPECT_EQ(ErrorsIn(Workload("  adresses: 1\n  tunel: X\n  ports: {}\n") + "---\n" +
                     Policy("  mtls: [STRICT]\n"))
                .size(),
            4);
}

TEST(ResourceLoaderTest, TypesAreThoseOfKubernetes) {
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  ports: [{port: \"80\"}]\n")),
              ElementsAre(HasSubstr("spec.ports[0].port: must be a whole number, not `80`")));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  ports: [{port: 0x50}]\n")),
              ElementsAre(HasSubstr("must be a whole number")));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  ports: [{port: 80.0}]\n")),
              ElementsAre(HasSubstr("must be a whole number")));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  ports: [{port: -1}]\n")),
              ElementsAre(HasSubstr("must be a whole number")));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  ports: [{port: 99999999999}]\n")),
              ElementsAre(HasSubstr("must be a whole number")));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  ports: [{port: 70000}]\n")),
              ElementsAre(HasSubstr("a port is 1 to 65535")));
  EXPECT_THAT(
      ErrorsIn("apiVersion: v1\nkind: Service\nmetadata: {name: s, labels: {version: 1.0}}\n"
               "spec: {clusterIP: None}\n"),
      ElementsAre("f.yaml:3:39: Service/default/s: metadata.labels.version: must be a "
                  "string: put `1.0` into quotes"));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: 10.0.0.1\n")),
              ElementsAre(HasSubstr("spec.addresses: must be a list, not a scalar")));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  serviceAccount: yes\n")),
              ElementsAre(HasSubstr("must be a string: put `yes` into quotes")));
}

TEST(ResourceLoaderTest, DurationsAreWrittenAsPeopleWriteThem) {
  EXPECT_THAT(ErrorsIn(Mesh("  certificates: {ttl: 90s, maxTtl: 1h30m}\n")), ElementsAre());
  EXPECT_THAT(ErrorsIn(Mesh("  certificates: {ttl: 90}\n")),
              ElementsAre(HasSubstr("must be a duration such as")));
  EXPECT_THAT(ErrorsIn(Mesh("  certificates: {ttl: -5s}\n")),
              ElementsAre(HasSubstr("must be a duration such as")));
  EXPECT_THAT(ErrorsIn(Mesh("  certificates: {ttl: 48h}\n")),
              ElementsAre(HasSubstr("must be between 2s and 24h")));
  EXPECT_THAT(ErrorsIn(Mesh("  certificates: {ttl: 2h, maxTtl: 1h}\n")),
              ElementsAre(HasSubstr("is shorter than ttl")));
}

TEST(ResourceLoaderTest, WhatCannotHaveAnEffectIsRefused) {
  EXPECT_THAT(ErrorsIn(Policy("  portLevelMtls: {80: {mode: STRICT}}\n")),
              ElementsAre(HasSubstr("needs spec.selector.matchLabels")));
  EXPECT_THAT(ErrorsIn("apiVersion: countersign.dev/v1alpha1\nkind: PeerAuthentication\n"
                       "metadata: {name: x, namespace: countersign-system}\n"
                       "spec: {selector: {matchLabels: {app: web}}}\n"),
              ElementsAre(HasSubstr("has no effect in the root namespace")));
  EXPECT_THAT(ErrorsIn(Workload("  addresses: [10.0.0.1]\n  tunnel: NONE\n  tunnelPort: 1\n")),
              ElementsAre(HasSubstr("has no effect unless tunnel is HBONE")));
  EXPECT_THAT(ErrorsIn("apiVersion: countersign.dev/v1alpha1\nkind: Mesh\n"
                       "metadata: {name: x, namespace: shop}\n"),
              ElementsAre(HasSubstr("leave the namespace out")));
}

TEST(ResourceLoaderTest, OtherPeoplesKindsAreRefusedByName) {
  EXPECT_THAT(ErrorsIn("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"),
              ElementsAre(HasSubstr("f.yaml:2:7: kind: `Deployment` of `apps/v1` is no kind")));
  EXPECT_THAT(ErrorsIn("kind: Mesh\nmetadata: {name: x}\n"),
              ElementsAre("f.yaml:1:1: apiVersion: is required"));
  EXPECT_THAT(ErrorsIn("- a\n- b\n"), ElementsAre(HasSubstr("must be a resource")));
  EXPECT_THAT(ErrorsIn(""), ElementsAre());
}

TEST(ResourceLoaderTest, NamesAndLabelsAreKubernetes) {
  for (const char* name : {"Web", "-web", "web-", "we_b", "", "a..b"}) {
    EXPECT_FALSE(ErrorsIn(absl::StrCat("apiVersion: v1\nkind: Service\nmetadata: {name: \"", name,
                                       "\"}\nspec: {}\n"))
                     .empty())
        << name;
  }
  EXPECT_FALSE(ErrorsIn("apiVersion: v1\nkind: Service\n"
                        "metadata: {name: a, labels: {\"a b\": c}}\nspec: {}\n")
                   .empty());
  EXPECT_FALSE(ErrorsIn("apiVersion: v1\nkind: Service\n"
                        "metadata: {name: a, labels: {a: \"b c\"}}\nspec: {}\n")
                   .empty());
}

TEST(ResourceLoaderTest, AFloodOfErrorsIsCut) {
  std::string yaml = Workload("");
  for (int i = 0; i < 1000; ++i) {
    absl::StrAppend(&yaml, "  x", i, ": 1\n");
  }
  EXPECT_EQ(ErrorsIn(yaml).size(), kMaxErrorsPerFile);
}

}  // namespace
}  // namespace countersign::control::registry
