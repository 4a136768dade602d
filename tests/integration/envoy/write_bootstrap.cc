// Writes what YAML files compile to as a bootstrap of Envoy: `write_bootstrap OUT.pb FILE...`.
// Routes and endpoints stand inline, so that `envoy --mode validate` reads them.
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/xds/discovery.pb.h"
#include "api/xds/http_connection_manager.pb.h"
#include "api/xds/names.h"
#include "control/compile/compiler.h"
#include "control/compile/http.h"
#include "control/registry/file/resource_loader.h"
#include "tests/integration/envoy/bootstrap.pb.h"

namespace {

using namespace countersign::control;  // NOLINT: a main of sixty lines
namespace xds = countersign::xds;
using envoy::config::bootstrap::v3::Bootstrap;

template <typename Message>
bool Compile(const compile::Compiler& compiler, compile::Type type, const std::string& name,
             const registry::Workload* self, Message* out) {
  const auto compiled = compiler.Compile(type, name, self);
  envoy::service::discovery::v3::Resource resource;
  return compiled != nullptr && resource.ParseFromString(compiled->bytes) &&
         resource.resource().UnpackTo(out);
}

// What Envoy 1.40 cannot validate without a server behind it is left out: secrets over ADS end it
// with a segmentation fault. It also wants more than one health check to have names, which ours
// have not.
void MakeValidatable(Bootstrap* out) {
  for (auto& listener : *out->mutable_static_resources()->mutable_listeners()) {
    for (auto& chain : *listener.mutable_filter_chains()) {
      chain.clear_transport_socket();
    }
  }
  for (auto& cluster : *out->mutable_static_resources()->mutable_clusters()) {
    cluster.clear_transport_socket_matches();
    if (cluster.health_checks_size() > 1) {
      cluster.mutable_health_checks()->DeleteSubrange(1, cluster.health_checks_size() - 1);
    }
  }
}

Bootstrap BootstrapOf(const compile::Compiler& compiler) {
  Bootstrap out;
  out.mutable_node()->set_id("default/x");
  out.mutable_node()->set_cluster("x");
  auto* ads = out.mutable_dynamic_resources()->mutable_ads_config();
  ads->set_api_type(2);
  ads->set_transport_api_version(2);
  ads->add_grpc_services()->mutable_envoy_grpc()->set_cluster_name("control");
  auto* control = out.mutable_static_resources()->add_clusters();
  control->set_name("control");
  control->set_type(envoy::config::cluster::v3::Cluster::STATIC);
  control->mutable_load_assignment()->set_cluster_name("control");
  auto* listeners = out.mutable_static_resources()->mutable_listeners();
  for (const std::string& name : compiler.Names(compile::Type::kListener)) {
    if (!compile::Compiler::IsPerProxy(compile::Type::kListener, name)) {
      Compile(compiler, compile::Type::kListener, name, nullptr, listeners->Add());
    }
  }
  uint32_t port = 1;  // one each: Envoy wants no address twice
  for (const registry::Workload& workload : compiler.model().workloads()) {
    if (!workload.identity.empty()) {
      auto* listener = listeners->Add();
      Compile(compiler, compile::Type::kListener, xds::kInboundListener, &workload, listener);
      listener->set_name(absl::StrCat("inbound of ", workload.Key()));
      listener->mutable_bind_to_port()->set_value(false);
      listener->mutable_address()->mutable_socket_address()->set_port_value(port++);
    }
  }
  for (const std::string& name : compiler.Names(compile::Type::kRoutes)) {
    compile::HttpConnectionManager manager = compile::ConnectionManager(compiler.model(), name);
    Compile(compiler, compile::Type::kRoutes, name, nullptr, manager.mutable_route_config());
    auto* listener = listeners->Add();
    listener->set_name(absl::StrCat("routes ", name));
    listener->mutable_bind_to_port()->set_value(false);
    listener->mutable_address()->mutable_socket_address()->set_address("127.0.0.1");
    listener->mutable_address()->mutable_socket_address()->set_port_value(port++);
    compile::FillHttpChain(name, manager, listener->add_filter_chains());
  }
  for (const std::string& name : compiler.Names(compile::Type::kCluster)) {
    auto* cluster = out.mutable_static_resources()->add_clusters();
    Compile(compiler, compile::Type::kCluster, name, nullptr, cluster);
    if (cluster->type() == envoy::config::cluster::v3::Cluster::EDS) {
      Compile(compiler, compile::Type::kEndpoints, name, nullptr,
              cluster->mutable_load_assignment());
      cluster->set_type(envoy::config::cluster::v3::Cluster::STATIC);
      cluster->clear_eds_cluster_config();
    }
  }
  MakeValidatable(&out);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: write_bootstrap OUT.pb FILE...\n";
    return 2;
  }
  std::vector<std::vector<registry::Resource>> files;
  std::vector<registry::ConfigError> errors;
  for (int i = 2; i < argc; ++i) {
    std::ifstream in(argv[i]);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::vector<registry::ConfigError> file_errors;
    files.push_back(registry::LoadResources(argv[i], text, {}, &file_errors));
    errors.insert(errors.end(), file_errors.begin(), file_errors.end());
  }
  std::vector<const registry::Resource*> resources;
  for (const auto& file : files) {
    for (const registry::Resource& resource : file) {
      resources.push_back(&resource);
    }
  }
  const auto model = registry::Model::Build(resources, 1, absl::UnixEpoch(), &errors);
  for (const registry::ConfigError& error : errors) {
    std::cerr << error.ToString() << "\n";
  }
  if (!errors.empty()) {
    return 1;
  }
  std::ofstream(argv[1], std::ios::binary)
      << BootstrapOf(compile::Compiler(model)).SerializeAsString();
  return 0;
}
