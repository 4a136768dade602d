#include "control/registry/kind.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/mesh/v1alpha1/gateway.pb.h"
#include "api/mesh/v1alpha1/mesh.pb.h"
#include "api/mesh/v1alpha1/traffic_policy.pb.h"

namespace countersign::control::registry {
namespace {

constexpr char kOurs[] = "countersign.dev/v1alpha1";
constexpr char kGateway[] = "gateway.networking.k8s.io/v1";
constexpr char kGatewayBeta[] = "gateway.networking.k8s.io/v1beta1";

struct Table {
  KindInfo kinds[8] = {
      {Kind::kMesh, "Mesh", kOurs, nullptr, &mesh::v1alpha1::MeshSpec::default_instance(), true},
      {Kind::kPeerAuthentication, "PeerAuthentication", kOurs, nullptr,
       &mesh::v1alpha1::PeerAuthenticationSpec::default_instance(), false},
      {Kind::kExternalWorkload, "ExternalWorkload", kOurs, nullptr,
       &mesh::v1alpha1::ExternalWorkloadSpec::default_instance(), false},
      {Kind::kService, "Service", "v1", nullptr, &mesh::v1alpha1::ServiceSpec::default_instance(),
       false},
      {Kind::kTrafficPolicy, "TrafficPolicy", kOurs, nullptr,
       &mesh::v1alpha1::TrafficPolicySpec::default_instance(), false},
      {Kind::kHttpRoute, "HTTPRoute", kGateway, nullptr,
       &mesh::v1alpha1::HTTPRouteSpec::default_instance(), false},
      {Kind::kGrpcRoute, "GRPCRoute", kGateway, nullptr,
       &mesh::v1alpha1::GRPCRouteSpec::default_instance(), false},
      {Kind::kReferenceGrant, "ReferenceGrant", kGatewayBeta, kGateway,
       &mesh::v1alpha1::ReferenceGrantSpec::default_instance(), false},
  };
};

const Table& Kinds() {
  static const Table* const table = new Table;
  return *table;
}

}  // namespace

const KindInfo* FindKind(absl::string_view api_version, absl::string_view name) {
  for (const KindInfo& info : Kinds().kinds) {
    if (name == info.name &&
        (api_version == info.api_version ||
         (info.other_api_version != nullptr && api_version == info.other_api_version))) {
      return &info;
    }
  }
  return nullptr;
}

const KindInfo& InfoOf(Kind kind) { return Kinds().kinds[static_cast<int>(kind)]; }

std::string KnownKinds() {
  std::string all;
  for (const KindInfo& info : Kinds().kinds) {
    absl::StrAppend(&all, all.empty() ? "" : ", ", info.name, " (", info.api_version, ")");
  }
  return all;
}

std::string Resource::Key() const {
  return absl::StrCat(metadata.namespace_(), "/", metadata.name());
}

namespace {

std::string Printable(absl::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(&printable, "\\x", absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
    } else {
      printable.push_back(c);
    }
  }
  return printable;
}

}  // namespace

std::string ConfigError::ToString() const {
  std::string text = location.file;
  if (location.line > 0) {
    absl::StrAppend(&text, ":", location.line, ":", location.column);
  }
  for (const std::string* part : {&resource, &field}) {
    if (!part->empty()) {
      absl::StrAppend(&text, text.empty() ? "" : ": ", *part);
    }
  }
  absl::StrAppend(&text, text.empty() ? "" : ": ", reason);
  return Printable(text);
}

}  // namespace countersign::control::registry
