#include "control/registry/model.h"

#include <string>
#include <vector>

#include "control/registry/file/resource_loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ModelTest : public ::testing::Test {
 protected:
  void Load(const std::string& file, const std::string& yaml) {
    std::vector<ConfigError> errors;
    for (Resource& resource : LoadResources(file, yaml, {}, &errors)) {
      resources_.push_back(std::make_unique<Resource>(std::move(resource)));
    }
    ASSERT_TRUE(errors.empty()) << errors[0].ToString();
  }
  std::shared_ptr<const Model> Build() {
    std::vector<const Resource*> pointers;
    for (const auto& resource : resources_) {
      pointers.push_back(resource.get());
    }
    std::vector<ConfigError> errors;
    auto model = Model::Build(pointers, 7, absl::UnixEpoch(), &errors);
    errors_.clear();
    for (const ConfigError& error : errors) {
      errors_.push_back(error.ToString());
    }
    return model;
  }

  std::vector<std::unique_ptr<Resource>> resources_;
  std::vector<std::string> errors_;
};

std::string Workload(const std::string& name, const std::string& address) {
  return "---\napiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: " +
         name + "}\nspec: {addresses: [\"" + address + "\"]}\n";
}

TEST_F(ModelTest, ATrustDomainInALaterFileNamesAllIdentities) {
  Load("a.yaml", Workload("web", "10.0.0.1"));
  Load("b.yaml",
       "apiVersion: countersign.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\n"
       "spec: {trustDomain: corp.example}\n");
  const auto model = Build();
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->version(), 7);
  EXPECT_EQ(model->FindWorkload("default/web")->identity.ToString(),
            "spiffe://corp.example/ns/default/sa/default");
  EXPECT_EQ(model->mesh().policy_name, "countersign-system/m");
}

TEST_F(ModelTest, WithoutAMeshTheDefaultsAreThoseOfTheManual) {
  const auto model = Build();
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->mesh().trust_domain, "cluster.local");
  EXPECT_EQ(model->mesh().mtls, mesh::v1alpha1::MutualTls::PERMISSIVE);
  EXPECT_EQ(model->mesh().outbound, mesh::v1alpha1::OutboundTrafficPolicy::ALLOW_ANY);
  EXPECT_EQ(model->mesh().ttl, absl::Hours(1));
  EXPECT_EQ(model->mesh().max_ttl, absl::Hours(24));
}

TEST_F(ModelTest, AnAddressBelongsToOneResource) {
  Load("a.yaml", Workload("web", "10.0.0.1"));
  Load("b.yaml", Workload("db", "10.0.0.1"));
  EXPECT_EQ(Build(), nullptr);
  EXPECT_THAT(errors_,
              ElementsAre("b.yaml:2:1: ExternalWorkload/default/db: spec.addresses[0]: 10.0.0.1 "
                          "belongs to ExternalWorkload/default/web already (a.yaml:2)"));
}

TEST_F(ModelTest, AnIpv4MappedAddressIsTheIpv4Address) {
  Load("a.yaml", Workload("web", "10.0.0.1") + Workload("db", "::ffff:10.0.0.1"));
  EXPECT_EQ(Build(), nullptr);
}

TEST_F(ModelTest, AClusterIpMustNotBeAWorkloads) {
  Load("a.yaml", Workload("web", "10.0.0.1") +
                     "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
                     "spec: {clusterIP: 10.0.0.1}\n");
  EXPECT_EQ(Build(), nullptr);
}

TEST_F(ModelTest, AResourceIsDefinedOnce) {
  Load("a.yaml", Workload("web", "10.0.0.1"));
  Load("b.yaml", Workload("web", "10.0.0.2"));
  EXPECT_EQ(Build(), nullptr);
  EXPECT_THAT(errors_, ElementsAre(HasSubstr("is defined already at a.yaml:2")));
}

TEST_F(ModelTest, ThereIsOneMesh) {
  Load("a.yaml",
       "apiVersion: countersign.dev/v1alpha1\nkind: Mesh\nmetadata: {name: a}\n---\n"
       "apiVersion: countersign.dev/v1alpha1\nkind: Mesh\nmetadata: {name: b}\n");
  EXPECT_EQ(Build(), nullptr);
  EXPECT_THAT(errors_, ElementsAre(HasSubstr("there is one Mesh already, at a.yaml:1")));
}

TEST_F(ModelTest, AnEmptySelectorSelectsNothing) {
  EXPECT_FALSE(Selects({}, {{"a", "b"}}));
  EXPECT_TRUE(Selects({{"a", "b"}}, {{"a", "b"}, {"c", "d"}}));
  EXPECT_FALSE(Selects({{"a", "b"}, {"x", "y"}}, {{"a", "b"}}));
}

}  // namespace
}  // namespace countersign::control::registry
