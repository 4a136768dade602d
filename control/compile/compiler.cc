#include "control/compile/compiler.h"

#include <openssl/sha.h>

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/xds/discovery.pb.h"
#include "api/xds/names.h"
#include "control/compile/destination.h"
#include "control/compile/http.h"
#include "control/compile/standing_listeners.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace countersign::control::compile {
namespace {

constexpr size_t kVersionBytes = 8;

// Maps (all metadata is) in key order, so that equal content has equal bytes.
std::string SerializeDeterministically(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

std::shared_ptr<const Compiled> Pack(Type type, const std::string& name,
                                     const google::protobuf::MessageLite& message,
                                     std::vector<ResourceRef> references) {
  envoy::service::discovery::v3::Resource resource;
  resource.set_name(name);
  resource.mutable_resource()->set_type_url(TypeUrl(type));
  resource.mutable_resource()->set_value(SerializeDeterministically(message));
  uint8_t digest[SHA256_DIGEST_LENGTH];
  const std::string& value = resource.resource().value();
  SHA256(reinterpret_cast<const uint8_t*>(value.data()), value.size(), digest);
  resource.set_version(absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), kVersionBytes)));
  return std::make_shared<const Compiled>(Compiled{.name = name,
                                                   .version = resource.version(),
                                                   .bytes = resource.SerializeAsString(),
                                                   .references = std::move(references)});
}

std::shared_ptr<const Compiled> CompileListener(const registry::Model& model,
                                                const std::string& name,
                                                const registry::Workload* self) {
  if (name == xds::kInboundListener) {
    if (self == nullptr) {
      return nullptr;
    }
    return Pack(Type::kListener, name, InboundListener(model, *self),
                {{Type::kCluster, xds::kInboundCluster}});
  }
  if (name == xds::kOutboundListener) {
    const auto listener = OutboundListener(model);
    const bool allow = model.mesh().outbound == mesh::v1alpha1::OutboundTrafficPolicy::ALLOW_ANY;
    return Pack(Type::kListener, name, listener,
                {{Type::kCluster, allow ? xds::kPassthroughCluster : xds::kBlackHoleCluster}});
  }
  if (!absl::StartsWith(name, xds::kDestinationPrefix)) {
    return nullptr;
  }
  const absl::StatusOr<net::Address> address =
      net::Address::Parse(absl::string_view(name).substr(sizeof(xds::kDestinationPrefix) - 1));
  if (!address.ok() || absl::StrCat(xds::kDestinationPrefix, address->ToString()) != name) {
    return nullptr;
  }
  const std::optional<Destination> destination = DestinationAt(model, *address);
  if (!destination.has_value()) {
    return nullptr;
  }
  std::vector<ResourceRef> references = {{Type::kCluster, destination->ClusterName()}};
  if (destination->service != nullptr) {
    references.push_back({Type::kEndpoints, destination->ClusterName()});
  }
  if (ProtocolAt(model, *destination) != registry::PortProtocol::kTcp) {
    references.push_back({Type::kRoutes, destination->ClusterName()});
  }
  return Pack(Type::kListener, name, DestinationListener(model, *address, *destination),
              std::move(references));
}

std::shared_ptr<const Compiled> CompileRoutes(const registry::Model& model, const std::string& name,
                                              const std::string& caller_ns) {
  const std::optional<Destination> destination = DestinationOfCluster(model, name);
  if (!destination.has_value()) {
    return nullptr;
  }
  const auto routes = DestinationRoutes(model, *destination, caller_ns);
  if (!routes.has_value()) {
    return nullptr;
  }
  std::vector<ResourceRef> references;
  for (const std::string& cluster : ClustersOf(*routes)) {
    references.push_back({Type::kCluster, cluster});
  }
  return Pack(Type::kRoutes, name, *routes, std::move(references));
}

}  // namespace

bool Compiler::IsPerProxy(Type type, const std::string& name) {
  return type == Type::kListener && name == xds::kInboundListener;
}

bool Compiler::IsPerNamespace(Type type, const std::string& name) {
  return type == Type::kRoutes && absl::StartsWith(name, kServicePrefix);
}

bool Compiler::DiffersFor(absl::string_view ns, const std::string& name) const {
  const std::optional<Destination> destination = DestinationOfCluster(*model_, name);
  if (!destination.has_value() || destination->service == nullptr ||
      destination->service->ns == ns) {
    return false;
  }
  const auto& routes = model_->RoutesOf(*destination->service);
  return std::any_of(routes.begin(), routes.end(),
                     [&](const registry::HttpRoute* route) { return route->ns == ns; });
}

std::shared_ptr<const Compiled> Compiler::Compile(Type type, const std::string& name,
                                                  const registry::Workload* self,
                                                  const std::string& caller_ns) const {
  switch (type) {
    case Type::kListener:
      return CompileListener(*model_, name, self);
    case Type::kCluster: {
      if (envoy::config::cluster::v3::Cluster standing; StandingCluster(name, &standing)) {
        return Pack(type, name, standing, {});
      }
      const std::optional<Destination> destination = DestinationOfCluster(*model_, name);
      if (!destination.has_value()) {
        return nullptr;
      }
      std::vector<ResourceRef> references;
      if (destination->service != nullptr) {
        references.push_back({Type::kEndpoints, name});
      }
      return Pack(type, name, DestinationCluster(*model_, *destination), std::move(references));
    }
    case Type::kEndpoints: {
      const std::optional<Destination> destination = DestinationOfCluster(*model_, name);
      if (!destination.has_value() || destination->service == nullptr) {
        return nullptr;
      }
      return Pack(type, name, DestinationEndpoints(*model_, *destination), {});
    }
    case Type::kRoutes:
      return CompileRoutes(*model_, name, caller_ns);
  }
  return nullptr;
}

std::vector<std::string> Compiler::Names(Type type) const {
  std::vector<std::string> names;
  const auto add = [&](const net::Address& address) {
    const std::optional<Destination> destination = DestinationAt(*model_, address);
    if (type == Type::kListener) {
      names.push_back(absl::StrCat(xds::kDestinationPrefix, address.ToString()));
    } else if (type == Type::kRoutes) {
      if (ProtocolAt(*model_, *destination) != registry::PortProtocol::kTcp) {
        names.push_back(destination->ClusterName());
      }
    } else if (type == Type::kCluster || destination->service != nullptr) {
      names.push_back(destination->ClusterName());
    }
  };
  if (type == Type::kListener) {
    names = {xds::kInboundListener, xds::kOutboundListener};
  } else if (type == Type::kCluster) {
    names = {xds::kInboundCluster, xds::kPassthroughCluster, xds::kBlackHoleCluster};
  }
  for (const registry::Service& service : model_->services()) {
    for (const net::IpAddress& ip : service.cluster_ips) {
      for (const registry::ServicePort& port : service.ports) {
        add(net::Address(ip, port.port));
      }
    }
  }
  for (const registry::Workload& workload : model_->workloads()) {
    for (const net::IpAddress& ip : workload.addresses) {
      for (const registry::WorkloadPort& port : workload.ports) {
        add(net::Address(ip, port.port));
      }
    }
  }
  const std::set<std::string> unique(names.begin(), names.end());
  return std::vector<std::string>(unique.begin(), unique.end());
}

}  // namespace countersign::control::compile
