#include "control/compile/compiler.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/compile/resource_printer.h"
#include "control/compile/test_model.h"
#include "gtest/gtest.h"

namespace countersign::control::compile {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string Testdata(const std::string& name) {
  return absl::StrCat("control/compile/testdata/", name);
}

class GoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTest, CompilesToExactlyThis) {
  const std::string golden = Testdata(absl::StrCat(GetParam(), ".golden"));
  const auto model = TestModel(ReadFile(Testdata(absl::StrCat(GetParam(), ".in.yaml"))));
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(PrintResources(model), ReadFile(golden))
      << "if this is what it should be: bazel run //control/compile:print_resources -- "
         "$PWD/control/compile/testdata/"
      << GetParam() << ".in.yaml > " << golden;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest,
                         ::testing::Values("modes", "destinations", "routes", "namespaces"),
                         [](const auto& info) { return std::string(info.param); });

TEST(CompilerTest, EqualModelsGiveEqualVersionsAndBytes) {
  const std::string yaml = ReadFile(Testdata("destinations.in.yaml"));
  const Compiler a(TestModel(yaml)), b(TestModel(yaml));
  for (Type type : kPushOrder) {
    for (const std::string& name : a.Names(type)) {
      const registry::Workload* self = a.model().FindWorkload("default/web-1");
      const auto from_a = a.Compile(type, name, self);
      const auto from_b = b.Compile(type, name, b.model().FindWorkload("default/web-1"));
      ASSERT_NE(from_a, nullptr) << name;
      EXPECT_EQ(from_a->version, from_b->version) << name;
      EXPECT_EQ(from_a->bytes, from_b->bytes) << name;
      EXPECT_EQ(from_a->version.size(), 16);
    }
  }
}

TEST(CompilerTest, EveryReferenceResolves) {
  for (const char* name : {"modes.in.yaml", "destinations.in.yaml"}) {
    const Compiler compiler(TestModel(ReadFile(Testdata(name))));
    for (Type type : kPushOrder) {
      for (const std::string& resource : compiler.Names(type)) {
        const auto compiled =
            compiler.Compile(type, resource, &compiler.model().workloads().front());
        ASSERT_NE(compiled, nullptr) << resource;
        for (const ResourceRef& reference : compiled->references) {
          EXPECT_NE(compiler.Compile(reference.type, reference.name, nullptr), nullptr)
              << resource << " -> " << reference.name;
        }
      }
    }
  }
}

TEST(CompilerTest, OneEndpointMoreChangesOneResource) {
  const std::string yaml = ReadFile(Testdata("destinations.in.yaml"));
  const Compiler before(TestModel(yaml));
  const Compiler after(TestModel(absl::StrCat(
      yaml,
      "---\napiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
      "metadata: {name: web-3, labels: {app: web}}\n"
      "spec: {addresses: [10.0.0.33], serviceAccount: web, ports: [{name: http, port: 1}]}\n")));
  std::vector<std::string> changed;
  for (Type type : kPushOrder) {
    for (const std::string& name : before.Names(type)) {
      const auto old_one = before.Compile(type, name, before.model().FindWorkload("default/web-1"));
      const auto new_one = after.Compile(type, name, after.model().FindWorkload("default/web-1"));
      if (old_one->version != new_one->version) {
        changed.push_back(absl::StrCat(TypeLabel(type), " ", name));
      }
    }
  }
  EXPECT_EQ(changed, std::vector<std::string>{"endpoints service/default/web:80/v4"});
}

TEST(CompilerTest, OnlyCanonicalNamesExist) {
  const Compiler compiler(TestModel(ReadFile(Testdata("destinations.in.yaml"))));
  for (const char* name :
       {"", "outbound/", "outbound/10.96.0.1", "outbound/10.96.0.1:080", "outbound/010.96.0.1:80",
        "outbound/[fd96:0::1]:80", "outbound/fd96::1:80", "outbound/[FD96::1]:80", "outbound/x:80",
        "outbound/10.96.0.1:80 ", "outbound/10.96.0.99:80", "Outbound", "inbound/"}) {
    EXPECT_EQ(compiler.Compile(Type::kListener, name, nullptr), nullptr) << name;
  }
  for (const char* name :
       {"service/default/web:80", "service/default/web:80/v5", "service/default/web:080/v4",
        "service/default/web/v4", "service/web:80/v4", "service/default/web:99999999999/v4",
        "service//v4", "workload/default/web-1/10.0.0.2:80", "workload/default/web-1/",
        "workload/10.0.0.1:80", "service/", "PassthroughCluster/"}) {
    EXPECT_EQ(compiler.Compile(Type::kCluster, name, nullptr), nullptr) << name;
    EXPECT_EQ(compiler.Compile(Type::kEndpoints, name, nullptr), nullptr) << name;
  }
}

TEST(CompilerTest, APortThatTheServiceDoesNotDeclareHasNoEndpoints) {
  const Compiler compiler(TestModel(ReadFile(Testdata("destinations.in.yaml"))));
  const auto listener = compiler.Compile(Type::kListener, "outbound/10.96.0.1:81", nullptr);
  ASSERT_NE(listener, nullptr);
  const auto endpoints =
      compiler.Compile(Type::kEndpoints, listener->references.back().name, nullptr);
  ASSERT_NE(endpoints, nullptr);
  EXPECT_EQ(endpoints->bytes.find("10.0.0."), std::string::npos);
}

TEST(CompilerTest, AnInboundListenerIsCompiledForItsOwnWorkloadAlone) {
  const Compiler compiler(TestModel(ReadFile(Testdata("modes.in.yaml"))));
  EXPECT_EQ(compiler.Compile(Type::kListener, "inbound", nullptr), nullptr);
  const auto db =
      compiler.Compile(Type::kListener, "inbound", compiler.model().FindWorkload("shop/db-1"));
  const auto job =
      compiler.Compile(Type::kListener, "inbound", compiler.model().FindWorkload("batch/job"));
  EXPECT_NE(db->version, job->version);
  EXPECT_TRUE(Compiler::IsPerProxy(Type::kListener, "inbound"));
  EXPECT_FALSE(Compiler::IsPerProxy(Type::kListener, "outbound"));
}

}  // namespace
}  // namespace countersign::control::compile
