#include "control/registry/checks.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/mesh/v1alpha1/mesh.pb.h"
#include "api/net/address.h"
#include "api/net/http_limits.h"
#include "api/spiffe/spiffe_id.h"
#include "control/registry/route_checks.h"
#include "control/registry/traffic_policy_checks.h"

namespace countersign::control::registry {
namespace {

namespace api = mesh::v1alpha1;

constexpr int kMaxAddresses = 64;
constexpr int kMaxPorts = 256;
constexpr uint32_t kMaxWeight = 1'000'000;
// An SVID that lives shorter is renewed so often that a short outage of the control plane ends the
// mesh.
constexpr int64_t kMinTtlSeconds = 2;
constexpr int64_t kMaxTtlSeconds = 24 * 3600;

void CheckMetadata(const Resource& resource, FieldChecker* check) {
  const api::ObjectMeta& meta = resource.metadata;
  if (meta.name().empty()) {
    check->Fail("metadata.name", "is required");
  } else if (!IsDnsName(meta.name(), 253, true)) {
    check->Fail("metadata.name",
                "must be lowercase letters, digits, `-` and `.`, at most 253, beginning and ending "
                "with a letter or digit");
  }
  if (!IsDnsName(meta.namespace_(), 63, false)) {
    check->Fail("metadata.namespace",
                "must be lowercase letters, digits and `-`, at most 63, beginning and ending with "
                "a letter or digit");
  }
  if (InfoOf(resource.kind).root_namespace_only && meta.namespace_() != kRootNamespace) {
    check->Fail("metadata.namespace", absl::StrCat("a ", InfoOf(resource.kind).name,
                                                   " covers the whole mesh: leave the namespace "
                                                   "out, or say ",
                                                   kRootNamespace));
  }
  check->Labels(meta.labels(), "metadata.labels");
  absl::Time time;
  std::string error;
  if (!meta.creation_timestamp().empty() &&
      !absl::ParseTime(absl::RFC3339_full, meta.creation_timestamp(), &time, &error)) {
    check->Fail("metadata.creationTimestamp", "is no RFC 3339 time");
  }
}

void CheckTtl(const google::protobuf::Duration& ttl, const std::string& field,
              FieldChecker* check) {
  if (ttl.seconds() < kMinTtlSeconds || ttl.seconds() > kMaxTtlSeconds ||
      (ttl.seconds() == kMaxTtlSeconds && ttl.nanos() > 0)) {
    check->Fail(field, absl::StrCat("must be between ", kMinTtlSeconds, "s and 24h"));
  }
}

void CheckHttp(const api::HttpSettings& http, FieldChecker* check) {
  const absl::Duration year = absl::Hours(24 * 366);
  const auto time = [&](bool has, const google::protobuf::Duration& value, const char* field,
                        absl::Duration min) {
    if (has) {
      check->Duration(value, absl::StrCat("spec.http.", field), min, year);
    }
  };
  time(http.has_request_headers_timeout(), http.request_headers_timeout(), "requestHeadersTimeout",
       absl::Milliseconds(1));
  time(http.has_stream_idle_timeout(), http.stream_idle_timeout(), "streamIdleTimeout",
       absl::Milliseconds(1));
  time(http.has_idle_timeout(), http.idle_timeout(), "idleTimeout", absl::Milliseconds(1));
  time(http.has_max_connection_duration(), http.max_connection_duration(), "maxConnectionDuration",
       absl::ZeroDuration());
  check->Range(http.max_request_headers_kb(), "spec.http.maxRequestHeadersKb", 0, net::kMaxHeadKib);
  check->Range(http.max_headers_count(), "spec.http.maxHeadersCount", 0, 10'000);
  check->Range(http.max_concurrent_streams(), "spec.http.maxConcurrentStreams", 0, 100'000);
}

void CheckMesh(const api::MeshSpec& spec, FieldChecker* check) {
  if (!spec.trust_domain().empty()) {
    if (const absl::Status status = spiffe::CheckTrustDomain(spec.trust_domain()); !status.ok()) {
      check->Fail("spec.trustDomain", std::string(status.message()));
    }
  }
  CheckHttp(spec.http(), check);
  check->Percent(spec.tracing().random_sampling_percentage(),
                 "spec.tracing.randomSamplingPercentage");
  const api::CertificatePolicy& certificates = spec.certificates();
  if (certificates.has_ttl()) {
    CheckTtl(certificates.ttl(), "spec.certificates.ttl", check);
  }
  if (certificates.has_max_ttl()) {
    CheckTtl(certificates.max_ttl(), "spec.certificates.maxTtl", check);
    const int64_t ttl = certificates.has_ttl() ? certificates.ttl().seconds() : 3600;
    if (certificates.max_ttl().seconds() < ttl) {
      check->Fail("spec.certificates.maxTtl",
                  absl::StrCat("is shorter than ttl (", ttl, "s): raise it, or lower ttl"));
    }
  }
}

void CheckPeerAuthentication(const Resource& resource, const api::PeerAuthenticationSpec& spec,
                             FieldChecker* check) {
  check->Labels(spec.selector().match_labels(), "spec.selector.matchLabels");
  const bool selects = !spec.selector().match_labels().empty();
  if (selects && resource.metadata.namespace_() == kRootNamespace) {
    check->Fail("spec.selector",
                absl::StrCat("has no effect in the root namespace ", kRootNamespace,
                             ": put the policy into the namespace of the workloads"));
  }
  if (!selects && !spec.port_level_mtls().empty()) {
    check->Fail("spec.portLevelMtls",
                "needs spec.selector.matchLabels: ports belong to workloads, not to namespaces");
  }
  for (const auto& [port, mtls] : spec.port_level_mtls()) {
    check->Port(port, "spec.portLevelMtls");
  }
}

void CheckExternalWorkload(const api::ExternalWorkloadSpec& spec, FieldChecker* check) {
  if (spec.addresses().empty()) {
    check->Fail("spec.addresses", "needs at least one IPv4 or IPv6 address");
  }
  if (spec.addresses_size() > kMaxAddresses) {
    check->Fail("spec.addresses", absl::StrCat("has more than ", kMaxAddresses, " addresses"));
    return;
  }
  absl::flat_hash_set<std::string> seen;
  for (int i = 0; i < spec.addresses_size(); ++i) {
    const std::string field = absl::StrCat("spec.addresses[", i, "]");
    absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(spec.addresses(i));
    if (!ip.ok()) {
      check->Fail(field, std::string(ip.status().message()));
    } else if (ip->IsUnspecified() || ip->IsMulticast() || ip->IsLinkLocal()) {
      check->Fail(field, "must be a unicast address that other machines can reach");
    } else if (!seen.insert(ip->ToString()).second) {
      check->Fail(field, "stands twice");
    }
  }
  if (!spec.service_account().empty() && !IsDnsName(spec.service_account(), 253, true)) {
    check->Fail("spec.serviceAccount",
                "must be lowercase letters, digits, `-` and `.`, at most 253");
  }
  if (spec.tunnel_port() != 0) {
    check->Port(spec.tunnel_port(), "spec.tunnelPort");
    if (spec.tunnel() != api::ExternalWorkloadSpec::HBONE &&
        spec.tunnel() != api::ExternalWorkloadSpec::HBONE_ONLY) {
      check->Fail("spec.tunnelPort", "has no effect unless tunnel is HBONE or HBONE_ONLY");
    }
  }
  if (spec.ports_size() > kMaxPorts) {
    check->Fail("spec.ports", absl::StrCat("has more than ", kMaxPorts, " ports"));
    return;
  }
  check->Locality(spec.locality(), "spec.locality");
  if (spec.weight() > kMaxWeight) {
    check->Fail("spec.weight", absl::StrCat("must be at most ", kMaxWeight));
  }
  absl::flat_hash_set<std::string> names;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const std::string field = absl::StrCat("spec.ports[", i, "]");
    check->Port(spec.ports(i).port(), absl::StrCat(field, ".port"));
    check->Transport(spec.ports(i).protocol(), absl::StrCat(field, ".protocol"));
    if (!spec.ports(i).name().empty() && !names.insert(spec.ports(i).name()).second) {
      check->Fail(absl::StrCat(field, ".name"), "stands twice");
    }
  }
}

void CheckService(const api::ServiceSpec& spec, FieldChecker* check) {
  check->Labels(spec.selector(), "spec.selector");
  absl::flat_hash_set<std::string> seen;
  const auto check_ip = [&](const std::string& text, const std::string& field) {
    if (text == "None" || text.empty()) {
      return;
    }
    absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(text);
    if (!ip.ok()) {
      check->Fail(field, absl::StrCat(std::string(ip.status().message()),
                                      "; a headless Service says `None`"));
    } else if (ip->IsUnspecified() || ip->IsMulticast() || ip->IsLinkLocal() || ip->IsLoopback()) {
      check->Fail(field, "must be a unicast address that other machines can reach");
    }
  };
  check_ip(spec.cluster_ip(), "spec.clusterIP");
  if (spec.cluster_ips_size() > 2) {
    check->Fail("spec.clusterIPs", "has more than one address of each family");
  }
  for (int i = 0; i < spec.cluster_ips_size(); ++i) {
    const std::string field = absl::StrCat("spec.clusterIPs[", i, "]");
    check_ip(spec.cluster_ips(i), field);
    if (!seen.insert(spec.cluster_ips(i)).second) {
      check->Fail(field, "stands twice");
    }
  }
  if (!spec.cluster_ip().empty() && spec.cluster_ips_size() > 0 &&
      spec.cluster_ip() != spec.cluster_ips(0)) {
    check->Fail("spec.clusterIPs[0]", "must be the same as clusterIP");
  }
  if (spec.ports_size() > kMaxPorts) {
    check->Fail("spec.ports", absl::StrCat("has more than ", kMaxPorts, " ports"));
    return;
  }
  absl::flat_hash_set<std::string> ports;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const api::ServicePort& port = spec.ports(i);
    const std::string field = absl::StrCat("spec.ports[", i, "]");
    check->Port(port.port(), absl::StrCat(field, ".port"));
    check->Transport(port.protocol(), absl::StrCat(field, ".protocol"));
    if (port.target_port().value_case() == api::IntOrString::kNumber) {
      check->Port(port.target_port().number(), absl::StrCat(field, ".targetPort"));
    }
    const std::string protocol = port.protocol().empty() ? "TCP" : port.protocol();
    if (!ports.insert(absl::StrCat(protocol, "/", port.port())).second) {
      check->Fail(absl::StrCat(field, ".port"), "stands twice for the same protocol");
    }
  }
}

}  // namespace

std::vector<FieldError> CheckResource(const Resource& resource) {
  FieldChecker check;
  CheckMetadata(resource, &check);
  switch (resource.kind) {
    case Kind::kMesh:
      CheckMesh(resource.spec_as<api::MeshSpec>(), &check);
      break;
    case Kind::kPeerAuthentication:
      CheckPeerAuthentication(resource, resource.spec_as<api::PeerAuthenticationSpec>(), &check);
      break;
    case Kind::kExternalWorkload:
      CheckExternalWorkload(resource.spec_as<api::ExternalWorkloadSpec>(), &check);
      break;
    case Kind::kService:
      CheckService(resource.spec_as<api::ServiceSpec>(), &check);
      break;
    case Kind::kTrafficPolicy:
      CheckTrafficPolicy(resource.spec_as<api::TrafficPolicySpec>(), &check);
      break;
    case Kind::kHttpRoute:
      CheckHttpRoute(resource.spec_as<api::HTTPRouteSpec>(), &check);
      break;
    case Kind::kGrpcRoute:
      CheckGrpcRoute(resource.spec_as<api::GRPCRouteSpec>(), &check);
      break;
    case Kind::kReferenceGrant:
      CheckReferenceGrant(resource.spec_as<api::ReferenceGrantSpec>(), &check);
      break;
  }
  return check.Take();
}

}  // namespace countersign::control::registry
