#include "control/registry/checks.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/mesh/v1alpha1/mesh.pb.h"
#include "api/net/address.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::control::registry {
namespace {

namespace api = mesh::v1alpha1;

constexpr int kMaxAddresses = 64;
constexpr int kMaxPorts = 256;
constexpr int kMaxLabels = 128;
constexpr uint32_t kMaxWeight = 1'000'000;
// An SVID that lives shorter is renewed so often that a short outage of the control plane ends the
// mesh.
constexpr int64_t kMinTtlSeconds = 2;
constexpr int64_t kMaxTtlSeconds = 24 * 3600;

// Collects errors under field paths.
class Checker {
 public:
  void Fail(std::string field, std::string reason) {
    errors_.push_back({std::move(field), std::move(reason)});
  }
  std::vector<FieldError> Take() { return std::move(errors_); }

 private:
  std::vector<FieldError> errors_;
};

// RFC 1123 as Kubernetes applies it: labels of [a-z0-9-], joined by dots where `dots`.
bool IsDnsName(absl::string_view name, size_t max, bool dots) {
  if (name.empty() || name.size() > max) {
    return false;
  }
  bool start = true;
  char last = '-';
  for (char c : name) {
    if (dots && c == '.') {
      if (start || last == '-') {
        return false;
      }
      start = true;
      last = c;
      continue;
    }
    const bool alnum = absl::ascii_islower(c) || absl::ascii_isdigit(c);
    if (!alnum && (c != '-' || start)) {
      return false;
    }
    start = false;
    last = c;
  }
  return !start && last != '-';
}

// The part after an optional `prefix/`, or a value: [A-Za-z0-9._-], alphanumeric at both ends.
bool IsLabelText(absl::string_view text) {
  if (text.size() > 63) {
    return false;
  }
  if (text.empty()) {
    return true;
  }
  for (char c : text) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') {
      return false;
    }
  }
  return absl::ascii_isalnum(text.front()) && absl::ascii_isalnum(text.back());
}

void CheckLabels(const google::protobuf::Map<std::string, std::string>& labels,
                 const std::string& field, Checker* check) {
  if (labels.size() > kMaxLabels) {
    check->Fail(field, absl::StrCat("has ", labels.size(), " labels; at most ", kMaxLabels,
                                    " are allowed"));
    return;
  }
  for (const auto& [key, value] : labels) {
    absl::string_view name = key;
    const size_t slash = name.find('/');
    bool ok = true;
    if (slash != absl::string_view::npos) {
      ok = IsDnsName(name.substr(0, slash), 253, true);
      name.remove_prefix(slash + 1);
    }
    if (!ok || name.empty() || !IsLabelText(name)) {
      check->Fail(field,
                  "has a key that is no label: letters, digits, `-`, `_`, `.`, at most 63, "
                  "after an optional DNS prefix and `/`");
    } else if (!IsLabelText(value)) {
      check->Fail(absl::StrCat(field, ".", key),
                  "is no label value: letters, digits, `-`, `_`, `.`, at most 63, beginning and "
                  "ending with a letter or digit");
    }
  }
}

void CheckPort(uint32_t port, const std::string& field, Checker* check) {
  if (port < 1 || port > 65535) {
    check->Fail(field, absl::StrCat("is ", port, "; a port is 1 to 65535"));
  }
}

void CheckProtocol(const std::string& protocol, const std::string& field, Checker* check) {
  if (!protocol.empty() && protocol != "TCP" && protocol != "UDP" && protocol != "SCTP") {
    check->Fail(field, "must be TCP, UDP or SCTP");
  }
}

void CheckMetadata(const Resource& resource, Checker* check) {
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
  CheckLabels(meta.labels(), "metadata.labels", check);
  absl::Time time;
  std::string error;
  if (!meta.creation_timestamp().empty() &&
      !absl::ParseTime(absl::RFC3339_full, meta.creation_timestamp(), &time, &error)) {
    check->Fail("metadata.creationTimestamp", "is no RFC 3339 time");
  }
}

void CheckTtl(const google::protobuf::Duration& ttl, const std::string& field, Checker* check) {
  if (ttl.seconds() < kMinTtlSeconds || ttl.seconds() > kMaxTtlSeconds ||
      (ttl.seconds() == kMaxTtlSeconds && ttl.nanos() > 0)) {
    check->Fail(field, absl::StrCat("must be between ", kMinTtlSeconds, "s and 24h"));
  }
}

void CheckMesh(const api::MeshSpec& spec, Checker* check) {
  if (!spec.trust_domain().empty()) {
    if (const absl::Status status = spiffe::CheckTrustDomain(spec.trust_domain()); !status.ok()) {
      check->Fail("spec.trustDomain", std::string(status.message()));
    }
  }
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
                             Checker* check) {
  CheckLabels(spec.selector().match_labels(), "spec.selector.matchLabels", check);
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
    CheckPort(port, "spec.portLevelMtls", check);
  }
}

// `region/zone/subzone`, from the left; each a word.
void CheckLocality(const std::string& locality, const std::string& field, Checker* check) {
  if (locality.empty()) {
    return;
  }
  const std::vector<std::string> parts = absl::StrSplit(locality, '/');
  if (parts.size() > 3 || !std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
        return !part.empty() && IsLabelText(part);
      })) {
    check->Fail(field, "must be `region`, `region/zone` or `region/zone/subzone`");
  }
}

void CheckExternalWorkload(const api::ExternalWorkloadSpec& spec, Checker* check) {
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
    CheckPort(spec.tunnel_port(), "spec.tunnelPort", check);
    if (spec.tunnel() != api::ExternalWorkloadSpec::HBONE &&
        spec.tunnel() != api::ExternalWorkloadSpec::HBONE_ONLY) {
      check->Fail("spec.tunnelPort", "has no effect unless tunnel is HBONE or HBONE_ONLY");
    }
  }
  if (spec.ports_size() > kMaxPorts) {
    check->Fail("spec.ports", absl::StrCat("has more than ", kMaxPorts, " ports"));
    return;
  }
  CheckLocality(spec.locality(), "spec.locality", check);
  if (spec.weight() > kMaxWeight) {
    check->Fail("spec.weight", absl::StrCat("must be at most ", kMaxWeight));
  }
  absl::flat_hash_set<std::string> names;
  for (int i = 0; i < spec.ports_size(); ++i) {
    const std::string field = absl::StrCat("spec.ports[", i, "]");
    CheckPort(spec.ports(i).port(), absl::StrCat(field, ".port"), check);
    CheckProtocol(spec.ports(i).protocol(), absl::StrCat(field, ".protocol"), check);
    if (!spec.ports(i).name().empty() && !names.insert(spec.ports(i).name()).second) {
      check->Fail(absl::StrCat(field, ".name"), "stands twice");
    }
  }
}

void CheckService(const api::ServiceSpec& spec, Checker* check) {
  CheckLabels(spec.selector(), "spec.selector", check);
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
    CheckPort(port.port(), absl::StrCat(field, ".port"), check);
    CheckProtocol(port.protocol(), absl::StrCat(field, ".protocol"), check);
    if (port.target_port().value_case() == api::IntOrString::kNumber) {
      CheckPort(port.target_port().number(), absl::StrCat(field, ".targetPort"), check);
    }
    const std::string protocol = port.protocol().empty() ? "TCP" : port.protocol();
    if (!ports.insert(absl::StrCat(protocol, "/", port.port())).second) {
      check->Fail(absl::StrCat(field, ".port"), "stands twice for the same protocol");
    }
  }
}

}  // namespace

std::vector<FieldError> CheckResource(const Resource& resource) {
  Checker check;
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
  }
  return check.Take();
}

}  // namespace countersign::control::registry
