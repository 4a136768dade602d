#include "control/ads/resource_hub.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/registry/file/resource_loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::ads {
namespace {

using compile::Type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kRoutes[] = "service/shop/cart:80/v4";
constexpr char kMesh[] =
    "apiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop}\n"
    "spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}\n";
constexpr char kRouteOfWeb[] =
    "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
    "metadata: {name: r, namespace: web}\nspec:\n"
    "  parentRefs: [{kind: Service, name: cart, namespace: shop}]\n"
    "  rules: [{backendRefs: [{name: own, port: 80}]}]\n";

struct Proxy final : ResourceHub::Subscriber {
  void OnResourceChanged(Type, const std::string& name, absl::Time) override {
    told.push_back(name);
  }
  std::vector<std::string> told;
};

class ResourceHubTest : public ::testing::Test {
 protected:
  void SetModel(const std::string& yaml) {
    std::vector<registry::ConfigError> errors;
    const auto resources = registry::LoadResources("f.yaml", yaml, {}, &errors);
    std::vector<const registry::Resource*> pointers;
    for (const registry::Resource& resource : resources) {
      pointers.push_back(&resource);
    }
    auto model = registry::Model::Build(pointers, ++version_, absl::UnixEpoch(), &errors);
    ASSERT_NE(model, nullptr) << errors[0].ToString();
    hub_.SetModel(std::move(model));
  }
  static ResourceHub::Key RoutesFor(const std::string& proxy) {
    return ResourceHub::KeyFor(Type::kRoutes, kRoutes, proxy);
  }

  ResourceHub hub_;
  uint64_t version_ = 0;
};

TEST_F(ResourceHubTest, ProxiesWhoseNamespaceHasNoRoutesOfItsOwnShareOneResource) {
  SetModel(kMesh);
  Proxy web, other;
  const auto for_web = hub_.Subscribe(RoutesFor("web/a"), &web);
  ASSERT_NE(for_web, nullptr);
  EXPECT_EQ(for_web, hub_.Subscribe(RoutesFor("other/a"), &other));
  EXPECT_EQ(
      hub_.Subscribe(ResourceHub::KeyFor(Type::kRoutes, "service/shop/none:80/v4", "web/a"), &web),
      nullptr);
}

TEST_F(ResourceHubTest, ANamespacesOwnRoutesReachItsProxiesAlone) {
  SetModel(kMesh);
  Proxy web, other;
  hub_.Subscribe(RoutesFor("web/a"), &web);
  hub_.Subscribe(RoutesFor("other/a"), &other);
  SetModel(absl::StrCat(kMesh, kRouteOfWeb));
  EXPECT_THAT(web.told, ElementsAre(kRoutes));
  EXPECT_THAT(other.told, ElementsAre());
  EXPECT_THAT(hub_.Get(RoutesFor("web/a"))->bytes, HasSubstr("service/web/own:80/v4"));
  EXPECT_THAT(hub_.Get(RoutesFor("other/a"))->bytes, HasSubstr(kRoutes));
  SetModel(kMesh);
  EXPECT_THAT(web.told, ElementsAre(kRoutes, kRoutes));
  EXPECT_THAT(other.told, ElementsAre());
  EXPECT_EQ(hub_.Get(RoutesFor("web/a")), hub_.Get(RoutesFor("web/b")));
}

}  // namespace
}  // namespace countersign::control::ads
