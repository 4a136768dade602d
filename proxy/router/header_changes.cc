#include "proxy/router/header_changes.h"

namespace countersign::router {

void ApplyHeaderChanges(const config::HeaderChanges& changes, http::HeaderMap& headers) {
  for (const std::string& name : changes.remove) headers.Remove(name);
  for (const config::HeaderChanges::Header& header : changes.set) {
    headers.Remove(header.name);
    headers.AddBorrowed(header.name, header.value);
  }
  for (const config::HeaderChanges::Header& header : changes.add) {
    headers.AddBorrowed(header.name, header.value);
  }
}

void ApplyRequestChanges(const RouteChoice& choice, const config::WeightedCluster* cluster,
                         http::RequestHead& head) {
  if (cluster != nullptr) ApplyHeaderChanges(cluster->request_headers, head.headers);
  ApplyHeaderChanges(choice.route->request_headers, head.headers);
  ApplyHeaderChanges(choice.virtual_host->request_headers, head.headers);
  ApplyHeaderChanges(choice.table->request_headers, head.headers);
}

void ApplyResponseChanges(const RouteChoice& choice, const config::WeightedCluster* cluster,
                          http::ResponseHead& head) {
  if (cluster != nullptr) ApplyHeaderChanges(cluster->response_headers, head.headers);
  ApplyHeaderChanges(choice.route->response_headers, head.headers);
  ApplyHeaderChanges(choice.virtual_host->response_headers, head.headers);
  ApplyHeaderChanges(choice.table->response_headers, head.headers);
}

}  // namespace countersign::router
