#include "control/compile/resource_printer.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/discovery.pb.h"
#include "api/xds/endpoint.pb.h"
#include "api/xds/listener.pb.h"
#include "api/xds/names.h"
#include "control/compile/compiler.h"
#include "google/protobuf/text_format.h"

namespace countersign::control::compile {
namespace {

std::string ToText(const Compiled& compiled) {
  envoy::service::discovery::v3::Resource resource;
  resource.ParseFromString(compiled.bytes);
  google::protobuf::TextFormat::Printer printer;
  printer.SetExpandAny(true);
  printer.SetUseShortRepeatedPrimitives(true);
  std::string text;
  printer.PrintToString(resource.resource(), &text);
  for (const ResourceRef& reference : compiled.references) {
    absl::StrAppend(&text, "# refers to ", TypeLabel(reference.type), " ", reference.name, "\n");
  }
  return text;
}

}  // namespace

std::string PrintResources(std::shared_ptr<const registry::Model> model) {
  const Compiler compiler(model);
  std::string out;
  const auto print = [&](Type type, const std::string& name, const registry::Workload* self,
                         const std::string& ns = {}) {
    const std::shared_ptr<const Compiled> compiled = compiler.Compile(type, name, self, ns);
    absl::StrAppend(&out, "### ", TypeLabel(type), " ", name,
                    self == nullptr ? "" : absl::StrCat(" of ", self->Key()),
                    ns.empty() ? "" : absl::StrCat(" for callers of ", ns), "\n",
                    compiled == nullptr ? "# there is none\n" : ToText(*compiled), "\n");
  };
  for (const registry::Workload& workload : model->workloads()) {
    if (!workload.identity.empty()) {
      print(Type::kListener, xds::kInboundListener, &workload);
    }
  }
  std::set<std::string> namespaces;
  for (const registry::Workload& workload : model->workloads()) {
    namespaces.insert(workload.ns);
  }
  for (Type type : {Type::kListener, Type::kRoutes, Type::kCluster, Type::kEndpoints}) {
    for (const std::string& name : compiler.Names(type)) {
      if (Compiler::IsPerProxy(type, name)) {
        continue;
      }
      print(type, name, nullptr);
      for (const std::string& ns : namespaces) {
        if (Compiler::IsPerNamespace(type, name) && compiler.DiffersFor(ns, name)) {
          print(type, name, nullptr, ns);
        }
      }
    }
  }
  return out;
}

}  // namespace countersign::control::compile
