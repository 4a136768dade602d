#include "proxy/pipeline/outbound_http.h"

#include <utility>

namespace countersign::pipeline {
namespace {

// How often a connection that stays open says that its destination is in use.
constexpr std::chrono::seconds kTouchInterval{10};

filter::HttpConnectionOptions OptionsOf(const net::Address& client,
                                        const net::Address& destination) {
  filter::HttpConnectionOptions options;
  options.client = client;
  options.destination = destination;
  return options;
}

}  // namespace

OutboundHttp::OutboundHttp(Environment& env, Owner& owner,
                           const upstream::DestinationTable::Entry& entry,
                           const net::Address& client, const net::Address& destination)
    : env_(env),
      owner_(owner),
      client_(client),
      destination_(destination),
      answer_(entry.destination),
      routes_(env.destination_routes().To(destination, entry)),
      generation_(env.destination_routes().generation()),
      looked_at_(env.dispatcher().now()),
      manager_(env.http(), static_cast<filter::HttpConnectionManager::Owner&>(*this),
               OptionsOf(client, destination)) {
  routes_->Ref();
}

OutboundHttp::~OutboundHttp() { routes_->Unref(); }

filter::HttpRoutes& OutboundHttp::http_routes() {
  if (generation_ != env_.destination_routes().generation() ||
      env_.dispatcher().now() - looked_at_ >= kTouchInterval) {
    LookAgain();
  }
  return *routes_;
}

void OutboundHttp::LookAgain() {
  looked_at_ = env_.dispatcher().now();
  upstream::DestinationTable::Entry* entry = env_.destinations().Find(destination_, looked_at_);
  // Without an answer the last one goes on, as everything does while the control plane is silent.
  if (entry == nullptr || entry->destination == nullptr) return;
  generation_ = env_.destination_routes().generation();
  filter::HttpRoutes* routes = env_.destination_routes().To(destination_, *entry);
  if (routes == routes_) return;
  // No longer a place for HTTP: the next connection will see what it is now.
  if (routes == nullptr) return manager_.StartDrain();
  routes->Ref();
  std::exchange(routes_, routes)->Unref();
  answer_ = entry->destination;
}

stats::RequestCells& OutboundHttp::CellsOf(const router::RequestInfo& info) {
  if (info.host == nullptr || info.cluster == nullptr) {
    return env_.report().UnsentRequestCells(info.cluster == nullptr ? nullptr
                                                                    : &info.cluster->config());
  }
  std::unique_ptr<stats::RequestCells>& cells = info.host->request_cells;
  if (cells == nullptr) {
    cells = env_.report().OutboundRequestCells(info.host->endpoint, info.cluster->config());
  }
  return *cells;
}

void OutboundHttp::OnHttpRefused(absl::string_view reason, absl::string_view sentence) {
  env_.report().OnHttpRefused(/*inbound=*/false, client_, destination_, reason, sentence);
}

void OutboundHttp::OnHttpOverload(absl::string_view limit, absl::string_view sentence) {
  env_.OnRequestRefused(limit, sentence);
}

}  // namespace countersign::pipeline
