#include "control/registry/model.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace countersign::control::registry {
namespace {

namespace api = mesh::v1alpha1;

template <typename Map, typename Key>
auto FindOrNull(const Map& map, const Key& key) -> decltype(map.begin()->second) {
  auto it = map.find(key);
  return it == map.end() ? nullptr : it->second;
}

template <typename Map>
const typename Map::mapped_type& FindOrEmpty(const Map& map, absl::string_view key) {
  static const auto* const empty = new typename Map::mapped_type;
  auto it = map.find(key);
  return it == map.end() ? *empty : it->second;
}

}  // namespace

std::string Model::LabelKey(absl::string_view ns, absl::string_view key, absl::string_view value) {
  const absl::string_view separator("\0", 1);
  return absl::StrCat(ns, separator, key, separator, value);
}

PortProtocol ProtocolOf(absl::string_view name, absl::string_view app_protocol) {
  struct Entry {
    absl::string_view name;
    PortProtocol protocol;
  };
  static constexpr Entry kNames[] = {
      {"http", PortProtocol::kHttp1},
      {"http2", PortProtocol::kHttp2},
      {"grpc", PortProtocol::kHttp2},
      {"tcp", PortProtocol::kTcp},
      {"tls", PortProtocol::kTcp},
      {"https", PortProtocol::kTcp},
      {"mongo", PortProtocol::kTcp},
      {"mysql", PortProtocol::kTcp},
      {"redis", PortProtocol::kTcp},
      {"grpc-web", PortProtocol::kHttp2},
      {"kubernetes.io/h2c", PortProtocol::kHttp2},
      {"kubernetes.io/ws", PortProtocol::kHttp1},
      {"kubernetes.io/wss", PortProtocol::kTcp},
  };
  const bool said = !app_protocol.empty();
  // `grpc-web-1` is grpc's by its first part, which is the same.
  const std::string key =
      absl::AsciiStrToLower(said ? app_protocol : name.substr(0, name.find('-')));
  for (const Entry& entry : kNames) {
    if (key == entry.name) {
      return entry.protocol;
    }
  }
  return PortProtocol::kAuto;
}

uint16_t TargetPort(const ServicePort& port, const Workload& workload) {
  if (port.target != 0) {
    return port.target;
  }
  for (const WorkloadPort& p : workload.ports) {
    if (p.name == port.target_name) {
      return p.port;
    }
  }
  return 0;
}

std::string Locality::ToString() const {
  std::string text = region;
  if (!zone.empty()) {
    absl::StrAppend(&text, "/", zone);
  }
  if (!sub_zone.empty()) {
    absl::StrAppend(&text, "/", sub_zone);
  }
  return text;
}

bool Selects(const Labels& selector, const Labels& labels) {
  for (const auto& [key, value] : selector) {
    auto it = labels.find(key);
    if (it == labels.end() || it->second != value) {
      return false;
    }
  }
  return !selector.empty();
}

const ServicePort* Service::FindPort(uint16_t port) const {
  for (const ServicePort& p : ports) {
    if (p.port == port) {
      return &p;
    }
  }
  return nullptr;
}

bool TrafficPolicy::CoversPort(const ServicePort& port) const {
  const auto& target = spec->target_ref();
  return (target.port() == 0 || target.port() == port.port) &&
         (target.section_name().empty() || target.section_name() == port.name);
}

std::string HttpRoute::Key() const { return absl::StrCat(KindName(), "/", ns, "/", name); }

bool HttpRoute::IsFor(const Service& service, const ServicePort& port) const {
  for (const api::ParentReference& parent : parents()) {
    if (service.ns == NamespaceOf(parent) && parent.name() == service.name &&
        (parent.port() == 0 || parent.port() == port.port) &&
        (parent.section_name().empty() || parent.section_name() == port.name)) {
      return true;
    }
  }
  return false;
}

const Workload* Model::FindWorkload(absl::string_view key) const {
  return FindOrNull(workload_by_key_, key);
}
const Workload* Model::FindWorkload(const net::IpAddress& address) const {
  return FindOrNull(workload_by_address_, address);
}
std::vector<const Workload*> Model::FindWorkloads(const spiffe::SpiffeId& identity) const {
  return FindOrEmpty(workloads_by_identity_, identity.ToString());
}
const Service* Model::FindService(absl::string_view key) const {
  return FindOrNull(service_by_key_, key);
}
const Service* Model::FindService(const net::IpAddress& cluster_ip) const {
  return FindOrNull(service_by_ip_, cluster_ip);
}
std::vector<const Workload*> Model::Select(absl::string_view ns, const Labels& selector) const {
  const std::vector<const Workload*>* rarest = nullptr;
  for (const auto& [key, value] : selector) {
    const auto& all = FindOrEmpty(workloads_by_label_, LabelKey(ns, key, value));
    if (rarest == nullptr || all.size() < rarest->size()) {
      rarest = &all;
    }
  }
  std::vector<const Workload*> selected;
  if (rarest != nullptr) {
    for (const Workload* workload : *rarest) {
      if (Selects(selector, workload->labels)) {
        selected.push_back(workload);
      }
    }
  }
  return selected;
}
std::vector<const Service*> Model::ServicesOf(const Workload& workload) const {
  std::vector<const Service*> services;
  for (const auto& [key, value] : workload.labels) {
    for (const Service* service :
         FindOrEmpty(services_by_label_, LabelKey(workload.ns, key, value))) {
      if (Selects(service->selector, workload.labels)) {
        services.push_back(service);
      }
    }
  }
  std::sort(services.begin(), services.end(),
            [](const Service* a, const Service* b) { return a->name < b->name; });
  return services;
}
const std::vector<const HttpRoute*>& Model::RoutesOf(const Service& service) const {
  return FindOrEmpty(routes_by_service_, service.Key());
}
const TrafficPolicy* Model::PolicyOf(const Service& service, const ServicePort& port) const {
  const TrafficPolicy* general = nullptr;
  for (const TrafficPolicy* policy : FindOrEmpty(traffic_policies_by_service_, service.Key())) {
    if (!policy->CoversPort(port)) {
      continue;
    }
    const auto& target = policy->spec->target_ref();
    if (target.port() != 0 || !target.section_name().empty()) {
      return policy;
    }
    general = general == nullptr ? policy : general;
  }
  return general;
}
const std::vector<const PeerAuthentication*>& Model::PoliciesOf(absl::string_view ns) const {
  return FindOrEmpty(policies_by_namespace_, ns);
}

}  // namespace countersign::control::registry
