#include "proxy/pipeline/inbound_http.h"

#include <utility>

namespace countersign::pipeline {
namespace {

filter::HttpConnectionOptions OptionsOf(const Environment& env, const net::Address& client,
                                        const net::Address& application,
                                        std::shared_ptr<const spiffe::PeerSvid> peer,
                                        bool tunnelled) {
  filter::HttpConnectionOptions options;
  options.inbound = true;
  options.client = client;
  options.destination = application;
  if (peer != nullptr) options.own_id = env.secret()->id;
  options.by_sidecar = peer != nullptr && !tunnelled;
  options.peer = std::move(peer);
  return options;
}

}  // namespace

InboundHttp::InboundHttp(Environment& env, Owner& owner, const net::Address& client,
                         const net::Address& application,
                         std::shared_ptr<const spiffe::PeerSvid> peer, bool tunnelled)
    : env_(env),
      owner_(owner),
      client_(client),
      application_(application),
      cells_(env.report().InboundRequestCells(peer.get(),
                                              env.config()->inbound.For(application.port()))),
      manager_(env.http(), static_cast<filter::HttpConnectionManager::Owner&>(*this),
               OptionsOf(env, client, application, std::move(peer), tunnelled)) {}

InboundHttp::~InboundHttp() {
  if (routes_ != nullptr) routes_->Unref();
}

filter::HttpRoutes& InboundHttp::http_routes() {
  if (config_generation_ == env_.config_generation()) return *routes_;
  config_generation_ = env_.config_generation();
  filter::HttpRoutes& routes = env_.application_routes().To(
      application_, env_.config()->inbound.For(application_.port()).protocol);
  routes.Ref();
  if (routes_ != nullptr) routes_->Unref();
  routes_ = &routes;
  return routes;
}

void InboundHttp::OnHttpRefused(absl::string_view reason, absl::string_view sentence) {
  env_.report().OnHttpRefused(/*inbound=*/true, client_, application_, reason, sentence);
}

void InboundHttp::OnHttpOverload(absl::string_view limit, absl::string_view sentence) {
  env_.OnRequestRefused(limit, sentence);
}

}  // namespace countersign::pipeline
