// How a Model is made of resources.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/registry/model.h"

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

}  // namespace

// Fills a Model in one pass over the resources and one over what they became.
class Model::Builder {
 public:
  Builder(const std::vector<const Resource*>& resources, Model* model,
          std::vector<ConfigError>* errors)
      : model_(*model), errors_(errors) {
    absl::flat_hash_map<Kind, size_t> counts;
    for (const Resource* resource : resources) {
      ++counts[resource->kind];
    }
    model_.workloads_.reserve(counts[Kind::kExternalWorkload]);
    workload_resources_.reserve(counts[Kind::kExternalWorkload]);
    model_.services_.reserve(counts[Kind::kService]);
    service_resources_.reserve(counts[Kind::kService]);
    model_.traffic_policies_.reserve(counts[Kind::kTrafficPolicy]);
    model_.routes_.reserve(counts[Kind::kHttpRoute] + counts[Kind::kGrpcRoute]);
    owners_.reserve(counts[Kind::kExternalWorkload] + counts[Kind::kService]);
    seen_.reserve(resources.size());
    order_.reserve(resources.size());
  }

  void Add(const Resource& resource) {
    if (auto [it, inserted] = seen_.emplace(IdOf(resource), &resource.location); !inserted) {
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
      case Kind::kReferenceGrant:
        model_.grants_.Add(resource.metadata.namespace_(),
                           resource.spec_as<api::ReferenceGrantSpec>());
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
      if (resource->kind == Kind::kHttpRoute) {
        CheckBackends(*resource, resource->spec_as<api::HTTPRouteSpec>());
      } else if (resource->kind == Kind::kGrpcRoute) {
        CheckBackends(*resource, resource->spec_as<api::GRPCRouteSpec>());
      }
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

  static std::string IdOf(const Resource& resource) {
    return absl::StrCat(InfoOf(resource.kind).name, "/", resource.Key());
  }

  void Fail(const Resource& resource, std::string field, std::string reason) {
    errors_->push_back({resource.location, IdOf(resource), std::move(field), std::move(reason)});
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
      CheckPortReference(resource, "spec.targetRef",
                         absl::StrCat(resource.metadata.namespace_(), "/", target.name()),
                         target.port(), target.section_name(), false);
      return;
    }
    const auto& parents = resource.kind == Kind::kHttpRoute
                              ? resource.spec_as<api::HTTPRouteSpec>().parent_refs()
                              : resource.spec_as<api::GRPCRouteSpec>().parent_refs();
    for (int i = 0; i < parents.size(); ++i) {
      const std::string& ns = parents[i].namespace_();
      CheckPortReference(
          resource, absl::StrCat("spec.parentRefs[", i, "]"),
          absl::StrCat(ns.empty() ? resource.metadata.namespace_() : ns, "/", parents[i].name()),
          parents[i].port(), parents[i].section_name(), true);
    }
  }

  // Every backend of another namespace needs a grant for whatever the route is a route of.
  template <typename Spec>
  void CheckBackends(const Resource& resource, const Spec& spec) {
    for (int i = 0; i < spec.rules_size(); ++i) {
      const auto& rule = spec.rules(i);
      const auto field = [&](const char* list, int j, const char* rest) {
        return absl::StrCat("spec.rules[", i, "].", list, "[", j, "]", rest, ".namespace");
      };
      for (int j = 0; j < rule.backend_refs_size(); ++j) {
        if (const std::string why = WhyNot(resource, spec, rule.backend_refs(j)); !why.empty()) {
          Ungranted(resource, field("backendRefs", j, ""), why);
        }
      }
      for (int j = 0; j < rule.filters_size(); ++j) {
        if (!rule.filters(j).has_request_mirror()) {
          continue;
        }
        const auto& mirror = rule.filters(j).request_mirror().backend_ref();
        if (const std::string why = WhyNot(resource, spec, mirror); !why.empty()) {
          Ungranted(resource, field("filters", j, ".requestMirror.backendRef"), why);
        }
      }
    }
  }

  template <typename Spec, typename Ref>
  std::string WhyNot(const Resource& resource, const Spec& spec, const Ref& ref) const {
    const std::string& ns = resource.metadata.namespace_();
    if (ref.namespace_().empty() || ref.namespace_() == ns) {
      return "";
    }
    for (const api::ParentReference& parent : spec.parent_refs()) {
      const Reference reference = {
          .kind = InfoOf(resource.kind).name,
          .ns = ns,
          .parent_ns = parent.namespace_().empty() ? ns : parent.namespace_(),
          .target_ns = ref.namespace_(),
          .target = ref.name()};
      if (!model_.grants_.Allow(reference)) {
        return reference.WhyNot();
      }
    }
    return "";
  }

  void Ungranted(const Resource& resource, std::string field, absl::string_view why) {
    model_.ungranted_.push_back({.location = resource.location,
                                 .resource = IdOf(resource),
                                 .field = std::move(field),
                                 .reason = absl::StrCat(why, "; until then 500 is answered"),
                                 .in_force = true});
  }

  void CheckPortReference(const Resource& resource, const std::string& field,
                          const std::string& service, uint32_t port, const std::string& name,
                          bool http) {
    auto it = service_resources_.find(service);
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
    const auto by_name = [](const auto& a, const auto& b) {
      return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
    };
    const auto by_age = [](const auto& a, const auto& b) {
      return std::tie(a.created, a.ns, a.name) < std::tie(b.created, b.ns, b.name);
    };
    std::sort(model_.workloads_.begin(), model_.workloads_.end(), by_name);
    std::sort(model_.services_.begin(), model_.services_.end(), by_name);
    model_.workload_by_key_.reserve(model_.workloads_.size());
    model_.workload_by_address_.reserve(model_.workloads_.size());
    model_.service_by_key_.reserve(model_.services_.size());
    model_.service_by_ip_.reserve(model_.services_.size());
    std::sort(model_.peer_authentications_.begin(), model_.peer_authentications_.end(), by_age);
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
    std::sort(model_.routes_.begin(), model_.routes_.end(), by_age);
    std::sort(model_.traffic_policies_.begin(), model_.traffic_policies_.end(), by_age);
    for (const HttpRoute& route : model_.routes_) {
      for (const api::ParentReference& parent : route.parents()) {
        std::vector<const HttpRoute*>& routes =
            model_.routes_by_service_[absl::StrCat(route.NamespaceOf(parent), "/", parent.name())];
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
  absl::flat_hash_map<std::string, const Location*> seen_;
  absl::flat_hash_map<net::IpAddress, const Resource*> owners_;
  std::vector<const Resource*> workload_resources_;
  absl::flat_hash_map<std::string, const Resource*> service_resources_;
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
  Builder builder(resources, model.get(), errors);
  for (const Resource* resource : resources) {
    builder.Add(*resource);
  }
  if (in_force != nullptr) {
    builder.HoldAgainst(*in_force);
  }
  builder.Finish();
  return errors->size() == errors_before ? model : nullptr;
}

}  // namespace countersign::control::registry
