#include "control/registry/model.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace countersign::control::registry {
namespace {

namespace api = mesh::v1alpha1;

constexpr uint16_t kDefaultTunnelPort = 15008;

Labels ToLabels(const google::protobuf::Map<std::string, std::string>& map) {
  return Labels(map.begin(), map.end());
}

absl::Duration ToDuration(const google::protobuf::Duration& d) {
  return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
}

bool IsTcp(const std::string& protocol) { return protocol.empty() || protocol == "TCP"; }

// Neither names nor labels contain a NUL.
std::string LabelKey(absl::string_view ns, absl::string_view key, absl::string_view value) {
  const absl::string_view separator("\0", 1);
  return absl::StrCat(ns, separator, key, separator, value);
}

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

std::string HttpRoute::Key() const {
  return absl::StrCat(http != nullptr ? "HTTPRoute/" : "GRPCRoute/", ns, "/", name);
}

bool HttpRoute::IsFor(const Service& service, const ServicePort& port) const {
  for (const api::ParentReference& parent : parents()) {
    if (service.ns == ns && parent.name() == service.name &&
        (parent.port() == 0 || parent.port() == port.port) &&
        (parent.section_name().empty() || parent.section_name() == port.name)) {
      return true;
    }
  }
  return false;
}

// Fills a Model in one pass over the resources and one over what they became.
class Model::Builder {
 public:
  Builder(Model* model, std::vector<ConfigError>* errors) : model_(*model), errors_(errors) {}

  void Add(const Resource& resource) {
    const std::string id = absl::StrCat(InfoOf(resource.kind).name, "/", resource.Key());
    if (auto [it, inserted] = seen_.emplace(id, &resource.location); !inserted) {
      Fail(resource, "metadata.name", absl::StrCat("is defined already at ", Where(*it->second)));
      return;
    }
    switch (resource.kind) {
      case Kind::kMesh:
        AddMesh(resource);
        break;
      case Kind::kPeerAuthentication:
        AddPeerAuthentication(resource);
        break;
      case Kind::kExternalWorkload:
        workload_resources_.push_back(&resource);
        break;
      case Kind::kService:
        AddService(resource);
        break;
      case Kind::kTrafficPolicy:
        AddTrafficPolicy(resource);
        break;
      case Kind::kHttpRoute:
      case Kind::kGrpcRoute:
        AddRoute(resource);
        break;
    }
    order_[&resource] = order_.size();
  }

  // The trust domain is in every certificate and in every proxy's bootstrap.
  void HoldAgainst(const Model& in_force) {
    const std::string& before = in_force.mesh().trust_domain;
    if (model_.mesh_.trust_domain == before) {
      return;
    }
    errors_->push_back(
        {mesh_at_ == nullptr ? Location() : *mesh_at_,
         mesh_at_ == nullptr ? "" : absl::StrCat("Mesh/", model_.mesh_.policy_name),
         "spec.trustDomain",
         absl::StrCat("cannot change from ", before, " to ", model_.mesh_.trust_domain,
                      " while the mesh runs: set it back, or start a new mesh with another "
                      "--state-dir")});
  }

  void Finish() {
    // Identities need the trust domain, which may stand in the last file.
    for (const Resource* resource : workload_resources_) {
      AddWorkload(*resource);
    }
    for (const Resource* resource : port_references_) {
      CheckPortReferences(*resource);
    }
    Index();
  }

 private:
  static absl::Time CreationOf(const Resource& resource) {
    absl::Time created = absl::InfiniteFuture();
    std::string ignored;
    if (!resource.metadata.creation_timestamp().empty()) {
      absl::ParseTime(absl::RFC3339_full, resource.metadata.creation_timestamp(), &created,
                      &ignored);
    }
    return created;
  }

  static std::string Where(const Location& location) {
    return absl::StrCat(location.file, ":", location.line);
  }

  void Fail(const Resource& resource, std::string field, std::string reason) {
    errors_->push_back({resource.location,
                        absl::StrCat(InfoOf(resource.kind).name, "/", resource.Key()),
                        std::move(field), std::move(reason)});
  }

  // Each address belongs to one resource: the proxies' only key is the address.
  void Claim(const Resource& resource, const std::string& field, const net::IpAddress& ip) {
    auto [it, inserted] = owners_.emplace(ip, &resource);
    if (!inserted && it->second != &resource) {
      Fail(resource, field,
           absl::StrCat(ip.ToString(), " belongs to ", InfoOf(it->second->kind).name, "/",
                        it->second->Key(), " already (", Where(it->second->location), ")"));
    }
  }

  void AddMesh(const Resource& resource) {
    if (mesh_at_ != nullptr) {
      Fail(resource, "",
           absl::StrCat("there is one Mesh already, at ", Where(*mesh_at_), ": keep one"));
      return;
    }
    mesh_at_ = &resource.location;
    const auto& spec = resource.spec_as<api::MeshSpec>();
    Mesh& mesh = model_.mesh_;
    mesh.policy_name = resource.Key();
    if (!spec.trust_domain().empty()) {
      mesh.trust_domain = spec.trust_domain();
    }
    mesh.outbound = spec.outbound_traffic_policy().mode();
    if (spec.mtls().mode() != api::MutualTls::UNSET) {
      mesh.mtls = spec.mtls().mode();
    }
    mesh.http = spec.http();
    mesh.trace_percent = spec.tracing().random_sampling_percentage();
    if (spec.certificates().has_ttl()) {
      mesh.ttl = ToDuration(spec.certificates().ttl());
    }
    if (spec.certificates().has_max_ttl()) {
      mesh.max_ttl = ToDuration(spec.certificates().max_ttl());
    }
  }

  void AddPeerAuthentication(const Resource& resource) {
    const auto& spec = resource.spec_as<api::PeerAuthenticationSpec>();
    PeerAuthentication& policy = model_.peer_authentications_.emplace_back();
    policy.ns = resource.metadata.namespace_();
    policy.name = resource.metadata.name();
    policy.created = CreationOf(resource);
    policy.selector = ToLabels(spec.selector().match_labels());
    policy.mode = spec.mtls().mode();
    for (const auto& [port, mtls] : spec.port_level_mtls()) {
      policy.ports[static_cast<uint16_t>(port)] = mtls.mode();
    }
  }

  void AddTrafficPolicy(const Resource& resource) {
    TrafficPolicy& policy = model_.traffic_policies_.emplace_back();
    policy.ns = resource.metadata.namespace_();
    policy.name = resource.metadata.name();
    policy.created = CreationOf(resource);
    policy.spec = std::static_pointer_cast<const api::TrafficPolicySpec>(resource.spec);
    port_references_.push_back(&resource);
  }

  void AddRoute(const Resource& resource) {
    HttpRoute& route = model_.routes_.emplace_back();
    route.ns = resource.metadata.namespace_();
    route.name = resource.metadata.name();
    route.created = CreationOf(resource);
    if (resource.kind == Kind::kHttpRoute) {
      route.http = std::static_pointer_cast<const api::HTTPRouteSpec>(resource.spec);
    } else {
      route.grpc = std::static_pointer_cast<const api::GRPCRouteSpec>(resource.spec);
    }
    port_references_.push_back(&resource);
  }

  // A Service that a route or policy names must have the port that it names, and HTTP routes need a
  // port that may carry HTTP: otherwise they would silently never apply. A Service that is not
  // there (yet) contradicts nothing.
  void CheckPortReferences(const Resource& resource) {
    if (resource.kind == Kind::kTrafficPolicy) {
      const auto& target = resource.spec_as<api::TrafficPolicySpec>().target_ref();
      CheckPortReference(resource, "spec.targetRef", target.name(), target.port(),
                         target.section_name(), false);
      return;
    }
    const auto& parents = resource.kind == Kind::kHttpRoute
                              ? resource.spec_as<api::HTTPRouteSpec>().parent_refs()
                              : resource.spec_as<api::GRPCRouteSpec>().parent_refs();
    for (int i = 0; i < parents.size(); ++i) {
      CheckPortReference(resource, absl::StrCat("spec.parentRefs[", i, "]"), parents[i].name(),
                         parents[i].port(), parents[i].section_name(), true);
    }
  }

  void CheckPortReference(const Resource& resource, const std::string& field,
                          const std::string& service, uint32_t port, const std::string& name,
                          bool http) {
    auto it = service_resources_.find(absl::StrCat(resource.metadata.namespace_(), "/", service));
    if (it == service_resources_.end()) {
      return;
    }
    const auto& ports = it->second->spec_as<api::ServiceSpec>().ports();
    bool found = false, may_be_http = false;
    for (const api::ServicePort& p : ports) {
      if (IsTcp(p.protocol()) && (port == 0 || p.port() == port) &&
          (name.empty() || p.name() == name)) {
        found = true;
        may_be_http |= ProtocolOf(p.name(), p.app_protocol()) != PortProtocol::kTcp;
      }
    }
    if (found && (may_be_http || !http)) {
      return;
    }
    const std::string which = port != 0       ? absl::StrCat("port ", port)
                              : !name.empty() ? absl::StrCat("a port named ", name)
                                              : "a port";
    const std::string problem =
        found ? absl::StrCat(which,
                             " that carries HTTP: it is declared TCP by its name or appProtocol")
              : absl::StrCat(which, " for TCP");
    // The later of the two is to blame.
    if (order_.at(&resource) > order_.at(it->second)) {
      Fail(resource, field,
           absl::StrCat("Service/", it->second->Key(), " (", Where(it->second->location),
                        ") does not have ", problem));
    } else {
      Fail(*it->second, "spec.ports",
           absl::StrCat(InfoOf(resource.kind).name, "/", resource.Key(), " (",
                        Where(resource.location), ") needs ", problem));
    }
  }

  void AddWorkload(const Resource& resource) {
    const auto& spec = resource.spec_as<api::ExternalWorkloadSpec>();
    Workload& workload = model_.workloads_.emplace_back();
    workload.ns = resource.metadata.namespace_();
    workload.name = resource.metadata.name();
    workload.labels = ToLabels(resource.metadata.labels());
    for (int i = 0; i < spec.addresses_size(); ++i) {
      if (absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(spec.addresses(i)); ip.ok()) {
        workload.addresses.push_back(*ip);
        Claim(resource, absl::StrCat("spec.addresses[", i, "]"), *ip);
      }
    }
    workload.service_account = spec.service_account().empty() ? "default" : spec.service_account();
    workload.tunnel = spec.tunnel();
    workload.tunnel_port =
        spec.tunnel_port() == 0 ? kDefaultTunnelPort : static_cast<uint16_t>(spec.tunnel_port());
    if (workload.tunnel != api::ExternalWorkloadSpec::NONE) {
      absl::StatusOr<spiffe::SpiffeId> id =
          spiffe::SpiffeId::Parse(absl::StrCat("spiffe://", model_.mesh_.trust_domain, "/ns/",
                                               workload.ns, "/sa/", workload.service_account));
      if (id.ok()) {
        workload.identity = *std::move(id);
      } else {
        Fail(resource, "spec.serviceAccount", std::string(id.status().message()));
      }
    }
    for (const api::WorkloadPort& port : spec.ports()) {
      if (IsTcp(port.protocol())) {
        workload.ports.push_back({port.name(), static_cast<uint16_t>(port.port()),
                                  ProtocolOf(port.name(), port.app_protocol())});
      }
    }
    const std::vector<std::string> locality = absl::StrSplit(spec.locality(), '/');
    workload.locality.region = locality[0];
    workload.locality.zone = locality.size() > 1 ? locality[1] : "";
    workload.locality.sub_zone = locality.size() > 2 ? locality[2] : "";
    workload.weight = spec.weight() == 0 ? 1 : spec.weight();
  }

  void AddService(const Resource& resource) {
    const auto& spec = resource.spec_as<api::ServiceSpec>();
    service_resources_[resource.Key()] = &resource;
    Service& service = model_.services_.emplace_back();
    service.ns = resource.metadata.namespace_();
    service.name = resource.metadata.name();
    service.selector = ToLabels(spec.selector());
    std::vector<std::pair<std::string, std::string>> ips;
    for (int i = 0; i < spec.cluster_ips_size(); ++i) {
      ips.emplace_back(absl::StrCat("spec.clusterIPs[", i, "]"), spec.cluster_ips(i));
    }
    if (ips.empty()) {
      ips.emplace_back("spec.clusterIP", spec.cluster_ip());
    }
    for (const auto& [field, text] : ips) {
      if (absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(text); ip.ok()) {
        service.cluster_ips.push_back(*ip);
        Claim(resource, field, *ip);
      }
    }
    for (const api::ServicePort& port : spec.ports()) {
      if (!IsTcp(port.protocol())) {
        continue;
      }
      ServicePort& out = service.ports.emplace_back();
      out.name = port.name();
      out.port = static_cast<uint16_t>(port.port());
      out.protocol = ProtocolOf(port.name(), port.app_protocol());
      switch (port.target_port().value_case()) {
        case api::IntOrString::kNumber:
          out.target = static_cast<uint16_t>(port.target_port().number());
          break;
        case api::IntOrString::kName:
          out.target_name = port.target_port().name();
          break;
        case api::IntOrString::VALUE_NOT_SET:
          out.target = out.port;
          break;
      }
    }
  }

  void Index() {
    const auto by_key = [](const auto& a, const auto& b) { return a.Key() < b.Key(); };
    std::sort(model_.workloads_.begin(), model_.workloads_.end(), by_key);
    std::sort(model_.services_.begin(), model_.services_.end(), by_key);
    std::sort(model_.peer_authentications_.begin(), model_.peer_authentications_.end(),
              [](const PeerAuthentication& a, const PeerAuthentication& b) {
                return std::tie(a.created, a.ns, a.name) < std::tie(b.created, b.ns, b.name);
              });
    for (const Workload& workload : model_.workloads_) {
      model_.workload_by_key_[workload.Key()] = &workload;
      for (const auto& [key, value] : workload.labels) {
        model_.workloads_by_label_[LabelKey(workload.ns, key, value)].push_back(&workload);
      }
      if (!workload.identity.empty()) {
        model_.workloads_by_identity_[workload.identity.ToString()].push_back(&workload);
      }
      for (const net::IpAddress& ip : workload.addresses) {
        model_.workload_by_address_[ip] = &workload;
      }
    }
    for (const Service& service : model_.services_) {
      model_.service_by_key_[service.Key()] = &service;
      for (const net::IpAddress& ip : service.cluster_ips) {
        model_.service_by_ip_[ip] = &service;
      }
      if (!service.selector.empty()) {
        const auto& [key, value] = *service.selector.begin();
        model_.services_by_label_[LabelKey(service.ns, key, value)].push_back(&service);
      }
    }
    const auto by_age = [](const auto& a, const auto& b) {
      return std::tie(a.created, a.ns, a.name) < std::tie(b.created, b.ns, b.name);
    };
    std::sort(model_.routes_.begin(), model_.routes_.end(), by_age);
    std::sort(model_.traffic_policies_.begin(), model_.traffic_policies_.end(), by_age);
    for (const HttpRoute& route : model_.routes_) {
      for (const api::ParentReference& parent : route.parents()) {
        std::vector<const HttpRoute*>& routes =
            model_.routes_by_service_[absl::StrCat(route.ns, "/", parent.name())];
        if (routes.empty() || routes.back() != &route) {
          routes.push_back(&route);
        }
      }
    }
    for (const TrafficPolicy& policy : model_.traffic_policies_) {
      model_
          .traffic_policies_by_service_[absl::StrCat(policy.ns, "/",
                                                     policy.spec->target_ref().name())]
          .push_back(&policy);
    }
    for (const PeerAuthentication& policy : model_.peer_authentications_) {
      model_.policies_by_namespace_[policy.ns].push_back(&policy);
    }
  }

  Model& model_;
  std::vector<ConfigError>* const errors_;
  std::map<std::string, const Location*> seen_;
  absl::flat_hash_map<net::IpAddress, const Resource*> owners_;
  std::vector<const Resource*> workload_resources_;
  std::map<std::string, const Resource*> service_resources_;
  std::vector<const Resource*> port_references_;
  absl::flat_hash_map<const Resource*, size_t> order_;
  const Location* mesh_at_ = nullptr;
};

std::shared_ptr<const Model> Model::Build(const std::vector<const Resource*>& resources,
                                          uint64_t version, absl::Time changed_at,
                                          std::vector<ConfigError>* errors, const Model* in_force) {
  const size_t errors_before = errors->size();
  auto model = std::shared_ptr<Model>(new Model);
  model->version_ = version;
  model->changed_at_ = changed_at;
  Builder builder(model.get(), errors);
  for (const Resource* resource : resources) {
    builder.Add(*resource);
  }
  if (in_force != nullptr) {
    builder.HoldAgainst(*in_force);
  }
  builder.Finish();
  return errors->size() == errors_before ? model : nullptr;
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
