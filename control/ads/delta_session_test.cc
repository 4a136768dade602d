#include "control/ads/delta_session.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/xds/names.h"
#include "control/registry/file/resource_loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::ads {
namespace {

using compile::Type;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr char kMesh[] =
    "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
    "metadata: {name: web, labels: {app: web}}\n"
    "spec: {addresses: [10.0.0.1], ports: [{port: 80}]}\n---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
    "spec: {selector: {app: web}, clusterIP: 10.96.0.1, ports: [{port: 80}]}\n";
constexpr char kSecondEndpoint[] =
    "---\napiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
    "metadata: {name: web-2, labels: {app: web}}\nspec: {addresses: [10.0.0.2]}\n";

const absl::Time kEvent = absl::UnixEpoch() + absl::Hours(1);

struct Told {
  std::string type;
  std::vector<std::string> resources;
  std::vector<std::string> removed;
  std::string nonce;
};

class DeltaSessionTest : public ::testing::Test {
 protected:
  DeltaSessionTest() : metrics_(registry_) {}

  void SetModel(const std::string& yaml) {
    std::vector<registry::ConfigError> errors;
    const auto resources = registry::LoadResources("f.yaml", yaml, {}, &errors);
    std::vector<const registry::Resource*> pointers;
    for (const registry::Resource& resource : resources) {
      pointers.push_back(&resource);
    }
    auto model = registry::Model::Build(pointers, ++version_, kEvent, &errors);
    ASSERT_NE(model, nullptr) << errors[0].ToString();
    hub_.SetModel(std::move(model));
    if (session_ != nullptr) {
      session_->OnModel();
    }
  }

  void Open(DeltaSession::Limits limits = {}) {
    session_ = std::make_unique<DeltaSession>("default/web", "default/web (spiffe://x/y)", limits,
                                              hub_, metrics_);
  }

  DeltaDiscoveryRequest Request(Type type, const std::vector<std::string>& subscribe,
                                const std::vector<std::string>& unsubscribe = {}) {
    DeltaDiscoveryRequest request;
    request.set_type_url(compile::TypeUrl(type));
    for (const std::string& name : subscribe) {
      request.add_resource_names_subscribe(name);
    }
    for (const std::string& name : unsubscribe) {
      request.add_resource_names_unsubscribe(name);
    }
    if (follow_ && first_) {
      request.mutable_node()->add_client_features(xds::kFollowReferences);
    }
    first_ = false;
    return request;
  }

  absl::Status Send(const DeltaDiscoveryRequest& request) {
    return session_->OnRequest(request, kEvent + absl::Milliseconds(70));
  }

  // Everything that the session has to say.
  std::vector<Told> Drain() {
    std::vector<Told> all;
    while (auto frame = session_->NextFrame()) {
      std::string bytes = frame->head;
      DeltaDiscoveryResponse head;
      EXPECT_TRUE(head.ParseFromString(bytes));
      Told told{head.type_url().substr(head.type_url().rfind('.') + 1), {}, {}, head.nonce()};
      for (const auto& resource : frame->resources) {
        told.resources.push_back(resource->name);
      }
      told.removed.assign(head.removed_resources().begin(), head.removed_resources().end());
      all.push_back(std::move(told));
    }
    return all;
  }

  void Acknowledge(const Told& told, const std::string& error = "") {
    DeltaDiscoveryRequest request;
    request.set_type_url(absl::StrCat(told.type == "Listener"             ? xds::kListenerUrl
                                      : told.type == "Cluster"            ? xds::kClusterUrl
                                      : told.type == "RouteConfiguration" ? xds::kRoutesUrl
                                                                          : xds::kEndpointsUrl));
    request.set_response_nonce(told.nonce);
    if (!error.empty()) {
      request.mutable_error_detail()->set_message(error);
    }
    ASSERT_TRUE(Send(request).ok());
  }

  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  prometheus::Registry registry_;
  AdsMetrics metrics_;
  ResourceHub hub_;
  std::unique_ptr<DeltaSession> session_;
  uint64_t version_ = 0;
  bool follow_ = true;
  bool first_ = true;
};

TEST_F(DeltaSessionTest, AListenerComesAfterAllThatItRefersTo) {
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kListener, {"outbound/10.96.0.1:80"})).ok());
  const std::vector<Told> told = Drain();
  ASSERT_EQ(told.size(), 4);
  EXPECT_EQ(told[0].type, "Cluster");
  EXPECT_THAT(told[0].resources, ElementsAre("service/default/web:80/v4"));
  EXPECT_EQ(told[1].type, "ClusterLoadAssignment");
  EXPECT_EQ(told[2].type, "Listener");
  EXPECT_EQ(told[3].type, "RouteConfiguration");
  for (const Told& one : told) {
    Acknowledge(one);
  }
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(DeltaSessionTest, WhoDoesNotFollowReferencesIsSentWhatItNames) {
  follow_ = false;
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kListener, {"outbound/10.96.0.1:80"})).ok());
  EXPECT_EQ(Drain().size(), 1);
  ASSERT_TRUE(Send(Request(Type::kCluster, {"service/default/web:80/v4"})).ok());
  EXPECT_EQ(Drain().size(), 1);
}

TEST_F(DeltaSessionTest, AnUnknownNameIsAnsweredAtOnceAndFollowedWhenItAppears) {
  SetModel("");
  Open();
  ASSERT_TRUE(Send(Request(Type::kListener, {"outbound/10.96.0.1:80"})).ok());
  const std::vector<Told> unknown = Drain();
  ASSERT_EQ(unknown.size(), 1);
  EXPECT_THAT(unknown[0].removed, ElementsAre("outbound/10.96.0.1:80"));
  SetModel(kMesh);
  EXPECT_EQ(Drain().size(), 4);
  SetModel("");
  const std::vector<Told> gone = Drain();
  ASSERT_EQ(gone.size(), 4);
  EXPECT_EQ(gone[0].type, "Listener");
  EXPECT_EQ(gone[1].type, "RouteConfiguration");
  EXPECT_EQ(gone[3].type, "Cluster");
}

TEST_F(DeltaSessionTest, AChangeOfOneEndpointSendsOneResource) {
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kListener, {"outbound/10.96.0.1:80", "outbound", "inbound",
                                             "outbound/192.0.2.1:1"}))
                  .ok());
  for (const Told& told : Drain()) {
    Acknowledge(told);
  }
  SetModel(absl::StrCat(kMesh, kSecondEndpoint));
  const std::vector<Told> told = Drain();
  ASSERT_EQ(told.size(), 1);
  EXPECT_THAT(told[0].resources, ElementsAre("service/default/web:80/v4"));
  Acknowledge(told[0]);
  EXPECT_THAT(Metrics(), HasSubstr("countersign_control_ads_event_to_ack_seconds_sum 0.07"));
  SetModel(absl::StrCat(kMesh, kSecondEndpoint));
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(DeltaSessionTest, WhatWasRefusedIsNotSentAgainUntilItChanges) {
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kEndpoints, {"service/default/web:80/v4"})).ok());
  Acknowledge(Drain().at(0), "field 7 is not honoured\nby\tthis proxy");
  EXPECT_THAT(Drain(), IsEmpty());
  EXPECT_THAT(Metrics(), HasSubstr("countersign_control_ads_nacks_total{type=\"endpoints\"} 1"));
  SetModel(absl::StrCat(kMesh, kSecondEndpoint));
  EXPECT_EQ(Drain().size(), 1);
}

TEST_F(DeltaSessionTest, AReconnectingProxyIsSentOnlyWhatItHasNot) {
  SetModel(kMesh);
  Open();
  DeltaDiscoveryRequest request =
      Request(Type::kListener, {"outbound", "outbound/10.96.0.1:80", "inbound"});
  const auto version = [&](Type type, const std::string& name) {
    return hub_.compiler()->Compile(type, name, nullptr)->version;
  };
  (*request.mutable_initial_resource_versions())["outbound"] = version(Type::kListener, "outbound");
  (*request.mutable_initial_resource_versions())["outbound/10.96.0.1:80"] = "stale";
  ASSERT_TRUE(Send(request).ok());
  for (const Told& told : Drain()) {
    if (told.type == "Listener") {
      EXPECT_THAT(told.resources, UnorderedElementsAre("outbound/10.96.0.1:80", "inbound"));
    }
  }
}

TEST_F(DeltaSessionTest, WhoeverAsksAgainIsAnsweredAgain) {
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kEndpoints, {"service/default/web:80/v4"})).ok());
  EXPECT_EQ(Drain().size(), 1);
  ASSERT_TRUE(Send(Request(Type::kEndpoints, {"service/default/web:80/v4"})).ok());
  EXPECT_EQ(Drain().size(), 1);
}

TEST_F(DeltaSessionTest, AfterUnsubscribingThereIsSilenceAndNothingIsHeld) {
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kEndpoints, {"service/default/web:80/v4"})).ok());
  Drain();
  EXPECT_EQ(hub_.size(), 1);
  ASSERT_TRUE(Send(Request(Type::kEndpoints, {}, {"service/default/web:80/v4"})).ok());
  EXPECT_EQ(hub_.size(), 0);
  SetModel(absl::StrCat(kMesh, kSecondEndpoint));
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(DeltaSessionTest, TheEndOfASessionReleasesWhatItHeld) {
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kListener, {"outbound/10.96.0.1:80", "inbound"})).ok());
  EXPECT_GT(hub_.size(), 0);
  session_.reset();
  EXPECT_EQ(hub_.size(), 0);
}

TEST_F(DeltaSessionTest, AWildcardFollowsEverythingThatComesAndGoes) {
  follow_ = false;
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kListener, {})).ok());
  std::vector<Told> told = Drain();
  ASSERT_EQ(told.size(), 1);
  EXPECT_THAT(told[0].resources, UnorderedElementsAre("inbound", "outbound", "outbound/10.0.0.1:80",
                                                      "outbound/10.96.0.1:80"));
  SetModel(absl::StrCat(kMesh,
                        "---\napiVersion: v1\nkind: Service\nmetadata: {name: more}\n"
                        "spec: {clusterIP: 10.96.0.2, ports: [{port: 1}]}\n"));
  told = Drain();
  ASSERT_EQ(told.size(), 1);
  EXPECT_THAT(told[0].resources, ElementsAre("outbound/10.96.0.2:1"));
  SetModel(kMesh);
  told = Drain();
  ASSERT_EQ(told.size(), 1);
  EXPECT_THAT(told[0].removed, ElementsAre("outbound/10.96.0.2:1"));
}

TEST_F(DeltaSessionTest, AnAcknowledgementIsNoWildcard) {
  SetModel(kMesh);
  Open();
  ASSERT_TRUE(Send(Request(Type::kListener, {"outbound"})).ok());
  for (const Told& told : Drain()) {
    Acknowledge(told);
  }
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(DeltaSessionTest, LimitsEndTheStreamWithAReason) {
  SetModel(kMesh);
  Open({.max_subscriptions = 2});
  EXPECT_EQ(Send(Request(Type::kEndpoints, {"a", "b", "c"})).code(),
            absl::StatusCode::kResourceExhausted);
  Open();
  EXPECT_EQ(Send(Request(Type::kEndpoints, {std::string(513, 'x')})).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Send(Request(Type::kEndpoints, {""})).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DeltaSessionTest, WhoAcknowledgesNothingIsSentNoMore) {
  SetModel(kMesh);
  Open({.max_unacknowledged = 2});
  std::vector<Told> told;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(Send(Request(Type::kEndpoints, {absl::StrCat("n", i)})).ok());
    for (Told& one : Drain()) {
      told.push_back(std::move(one));
    }
  }
  EXPECT_EQ(told.size(), 2);
  Acknowledge(told[0]);
  EXPECT_EQ(Drain().size(), 1);
}

TEST_F(DeltaSessionTest, TypesThatAreNotServedAndForeignNoncesAreHarmless) {
  SetModel(kMesh);
  Open();
  DeltaDiscoveryRequest request;
  request.set_type_url("type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration");
  request.add_resource_names_subscribe("x");
  EXPECT_TRUE(Send(request).ok());
  request = Request(Type::kEndpoints, {});
  request.set_response_nonce("4711");
  EXPECT_TRUE(Send(request).ok());
  request.set_response_nonce("not a number");
  EXPECT_TRUE(Send(request).ok());
  EXPECT_THAT(Drain(), IsEmpty());
}

}  // namespace
}  // namespace countersign::control::ads
