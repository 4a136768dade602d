#include "proxy/xds/xds_client.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "api/xds/discovery.pb.h"
#include "api/xds/names.h"
#include "proxy/stats/families.h"

namespace countersign::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

// google.rpc.Code.INVALID_ARGUMENT
constexpr int kInvalidArgument = 3;
constexpr size_t kMaxNackBytes = 4096;

bool SameCertificate(const identity::SecretSnapshot& a, const identity::SecretSnapshot& b) {
  return !a.chain.empty() && !b.chain.empty() && X509_cmp(a.chain[0].get(), b.chain[0].get()) == 0;
}

}  // namespace

// What workers ask for. Shared with the calls that are posted, so that one which arrives after the
// client has gone finds nobody instead of a dangling pointer.
struct XdsClient::Inbox {
  std::mutex mutex;
  XdsClient* client = nullptr;  // main thread
  std::vector<net::Address> wanted;
  absl::flat_hash_set<net::Address> touched;
  bool posted = false;
};

// One stream and what was said on it.
class XdsClient::Session final : public identity::ControlStream::Handler {
 public:
  explicit Session(XdsClient& client) : client_(client) {}

  void Open() {
    identity::ControlStreamParams params;
    params.method = kDeltaAdsMethod;
    params.control_id = client_.options_.control_id;
    params.bundles = client_.secret_->bundles;
    params.deny_list = client_.secret_->deny_list;
    params.client = client_.secret_;
    stream_ = client_.dialer_.Open(params, *this);
    // Listeners first: theirs is the request that names the node.
    for (ResourceType type : {ResourceType::kListener, ResourceType::kRoutes,
                              ResourceType::kCluster, ResourceType::kEndpoints}) {
      SendInitial(type);
    }
  }

  void Subscribe(ResourceType type, std::vector<std::string> names) {
    DeltaDiscoveryRequest request;
    for (std::string& name : names) {
      if (subscribed_[static_cast<int>(type)].insert(name).second) {
        request.add_resource_names_subscribe(std::move(name));
      }
    }
    if (request.resource_names_subscribe_size() > 0) {
      Send(type, &request);
    }
  }

  void Unsubscribe(ResourceType type, const std::vector<std::string>& names) {
    if (names.empty()) {
      return;
    }
    DeltaDiscoveryRequest request;
    for (const std::string& name : names) {
      subscribed_[static_cast<int>(type)].erase(name);
      request.add_resource_names_unsubscribe(name);
    }
    Send(type, &request);
  }

  void OnMessage(const std::string& message) override {
    DeltaDiscoveryResponse response;
    if (!response.ParseFromString(message)) {
      spdlog::warn("the control plane sent something that is no configuration; it is ignored");
      return;
    }
    ResourceType type;
    if (!ResourceTypeOfUrl(response.type_url(), &type)) {
      Nack(response, absl::StrCat("type_url: `", response.type_url().substr(0, 256),
                                  "` is not honoured by this proxy"));
      return;
    }
    client_.OnSessionAnswered(this);
    Apply(type, response);
    client_.OnUpdated();
  }

  void OnClosed(const absl::Status& status) override { client_.OnSessionClosed(this, status); }

 private:
  void SendInitial(ResourceType type) {
    DeltaDiscoveryRequest request;
    for (const std::string& name : client_.store_.Needed(type)) {
      subscribed_[static_cast<int>(type)].insert(name);
      request.add_resource_names_subscribe(name);
      const std::string version = client_.store_.VersionOf(type, name);
      // `inbound` is always asked for anew: its answer is the sign that the stream works.
      if (!version.empty() && name != kInboundListener) {
        (*request.mutable_initial_resource_versions())[name] = version;
      }
    }
    // An empty subscription would mean: everything there is.
    if (request.resource_names_subscribe_size() > 0) {
      Send(type, &request);
    }
  }

  void Send(ResourceType type, DeltaDiscoveryRequest* request) {
    request->set_type_url(ResourceTypeUrl(type));
    if (!std::exchange(named_node_, true)) {
      auto* node = request->mutable_node();
      node->set_id(client_.options_.node_id);
      node->set_user_agent_name("countersign-proxy");
      node->add_client_features(kFollowReferences);
    }
    stream_->Send(request->SerializeAsString());
  }

  // Each resource takes effect or not by itself; the answer names all that did not.
  void Apply(ResourceType type, const DeltaDiscoveryResponse& response) {
    std::string errors;
    for (const auto& resource : response.resources()) {
      const absl::Status status =
          client_.store_.Update(type, resource.name(), resource.version(), resource.resource());
      client_.stats_
          .Get(stats::kXdsUpdates, {ResourceTypeLabel(type), status.ok() ? "accepted" : "rejected"})
          .Add(1);
      if (!status.ok() && errors.size() < kMaxNackBytes) {
        absl::StrAppend(&errors, errors.empty() ? "" : "; ", std::string(status.message()));
      }
    }
    for (const std::string& name : response.removed_resources()) {
      client_.store_.Remove(type, name);
      client_.stats_.Get(stats::kXdsUpdates, {ResourceTypeLabel(type), "accepted"}).Add(1);
    }
    if (!errors.empty()) {
      Nack(response, errors.substr(0, kMaxNackBytes));
      return;
    }
    DeltaDiscoveryRequest ack;
    ack.set_response_nonce(response.nonce());
    ack.set_type_url(response.type_url());
    stream_->Send(ack.SerializeAsString());
  }

  void Nack(const DeltaDiscoveryResponse& response, const std::string& reason) {
    spdlog::warn("configuration refused, what was in force stays in force: {}", reason);
    DeltaDiscoveryRequest nack;
    nack.set_response_nonce(response.nonce());
    nack.set_type_url(response.type_url());
    nack.mutable_error_detail()->set_code(kInvalidArgument);
    nack.mutable_error_detail()->set_message(reason);
    stream_->Send(nack.SerializeAsString());
  }

  XdsClient& client_;
  std::unique_ptr<identity::ControlStream> stream_;
  bool named_node_ = false;
  absl::flat_hash_set<std::string> subscribed_[kResourceTypeCount];
};

XdsClient::XdsClient(XdsClientOptions options, identity::ControlDialer& dialer,
                     event::Dispatcher& dispatcher, stats::Registry& stats)
    : options_(std::move(options)),
      dialer_(dialer),
      dispatcher_(dispatcher),
      stats_(stats),
      connected_gauge_(stats.Get(stats::kXdsConnected, {})),
      subscriptions_gauge_(stats.Get(stats::kXdsSubscriptions, {})),
      retry_timer_(dispatcher.timers(), this,
                   [](void* self) { static_cast<XdsClient*>(self)->OpenSession(); }),
      answer_timer_(dispatcher.timers(), this,
                    [](void* self) {
                      auto* client = static_cast<XdsClient*>(self);
                      client->OnSessionClosed(
                          client->next_.get(),
                          absl::DeadlineExceededError("the control plane does not answer"));
                    }),
      sweep_timer_(dispatcher.timers(), this,
                   [](void* self) { static_cast<XdsClient*>(self)->Sweep(); }),
      inbox_(std::make_shared<Inbox>()) {
  inbox_->client = this;
  sweep_timer_.Arm(options_.sweep);
}

XdsClient::~XdsClient() { inbox_->client = nullptr; }

void XdsClient::AddSink(config::ConfigSink* sink) { store_.AddSink(sink); }

bool XdsClient::connected() const { return current_ != nullptr; }

void XdsClient::Subscribe(const net::Address& original_destination) {
  bool post = false;
  {
    std::lock_guard<std::mutex> lock(inbox_->mutex);
    inbox_->wanted.push_back(original_destination);
    post = !std::exchange(inbox_->posted, true);
  }
  if (post) {
    dispatcher_.Post([inbox = inbox_] { DrainInbox(inbox); });
  }
}

void XdsClient::Touch(const net::Address& original_destination) {
  std::lock_guard<std::mutex> lock(inbox_->mutex);
  // Bounded: more than can be wanted says nothing.
  if (inbox_->touched.size() < options_.max_destinations) {
    inbox_->touched.insert(original_destination);
  }
}

void XdsClient::DrainInbox(const std::shared_ptr<Inbox>& inbox) {
  std::vector<net::Address> wanted;
  {
    std::lock_guard<std::mutex> lock(inbox->mutex);
    wanted.swap(inbox->wanted);
    inbox->posted = false;
  }
  if (inbox->client == nullptr) {
    return;
  }
  for (const net::Address& destination : wanted) {
    inbox->client->OnWanted(destination);
  }
}

void XdsClient::OnWanted(const net::Address& destination) {
  last_used_[destination] = dispatcher_.now();
  if (!store_.Want(destination)) {
    return;
  }
  EvictBeyondLimit();
  subscriptions_gauge_.Set(store_.wanted());
  ForEachSession([&](Session& session) {
    session.Subscribe(ResourceType::kListener, {DestinationName(destination)});
  });
}

void XdsClient::OnSecret(std::shared_ptr<const identity::SecretSnapshot> secret) {
  const bool same = secret_ != nullptr && SameCertificate(*secret_, *secret);
  secret_ = std::move(secret);
  if (same && (current_ != nullptr || next_ != nullptr || retry_timer_.armed())) {
    return;  // bundles or the deny list: the next stream will know them
  }
  OpenSession();
}

void XdsClient::OpenSession() {
  retry_timer_.Cancel();
  next_ = std::make_unique<Session>(*this);
  next_->Open();
  answer_timer_.Arm(options_.answer_timeout);
}

void XdsClient::OnSessionAnswered(Session* session) {
  stats_.Get(stats::kXdsLastAnswer, {})
      .Set(static_cast<uint64_t>(absl::ToUnixSeconds(dispatcher_.clock().Wall())));
  if (session != next_.get()) {
    return;
  }
  answer_timer_.Cancel();
  current_ = std::move(next_);
  failures_ = 0;
  last_error_.clear();
  connected_gauge_.Set(1);
  spdlog::info("the configuration stream to the control plane is open");
}

void XdsClient::OnSessionClosed(Session* session, const absl::Status& status) {
  if (session == nullptr || (session != current_.get() && session != next_.get())) {
    return;
  }
  stats_.Get(stats::kXdsStreamFailures, {absl::StatusCodeToString(status.code())}).Add(1);
  last_error_ = std::string(status.message());
  if (session == current_.get()) {
    current_.reset();
    connected_gauge_.Set(0);
    spdlog::warn(
        "the configuration stream to the control plane is gone, what is in force stays in force: "
        "{}",
        last_error_);
    if (next_ != nullptr) {
      return;  // its successor is on its way
    }
  } else {
    answer_timer_.Cancel();
    next_.reset();
    spdlog::warn("no configuration stream to the control plane: {}", last_error_);
  }
  ScheduleRetry();
}

void XdsClient::ScheduleRetry() {
  const double ceiling =
      std::min(static_cast<double>(options_.backoff_cap.count()),
               static_cast<double>(options_.backoff_base.count()) *
                   std::exp2(static_cast<double>(std::min<uint32_t>(failures_, 20))));
  ++failures_;
  // Full jitter: proxies that lost the control plane together come back apart.
  retry_timer_.Arm(
      std::chrono::milliseconds(1 + static_cast<int64_t>(options_.random() * ceiling)));
}

void XdsClient::OnUpdated() {
  store_.Publish();
  // A control plane that does not follow references is asked for them by name.
  for (ResourceType type :
       {ResourceType::kRoutes, ResourceType::kCluster, ResourceType::kEndpoints}) {
    std::vector<std::string> missing = store_.Missing(type);
    if (!missing.empty()) {
      ForEachSession([&](Session& session) { session.Subscribe(type, missing); });
    }
  }
}

void XdsClient::Sweep() {
  sweep_timer_.Arm(options_.sweep);
  const event::Instant now = dispatcher_.now();
  absl::flat_hash_set<net::Address> touched;
  {
    std::lock_guard<std::mutex> lock(inbox_->mutex);
    touched.swap(inbox_->touched);
  }
  for (const net::Address& destination : touched) {
    if (auto it = last_used_.find(destination); it != last_used_.end()) {
      it->second = now;
    }
  }
  std::vector<net::Address> idle;
  for (const auto& [destination, used] : last_used_) {
    if (now - used >= options_.idle) {
      idle.push_back(destination);
    }
  }
  Forget(idle);
  // What listeners refer to no more. Not at once: in a response that is under way the listener
  // comes after its clusters.
  for (ResourceType type :
       {ResourceType::kRoutes, ResourceType::kCluster, ResourceType::kEndpoints}) {
    const std::vector<std::string> dropped = store_.DropUnneeded(type);
    ForEachSession([&](Session& session) { session.Unsubscribe(type, dropped); });
  }
}

void XdsClient::EvictBeyondLimit() {
  if (store_.wanted() <= options_.max_destinations) {
    return;
  }
  auto oldest = std::min_element(last_used_.begin(), last_used_.end(),
                                 [](const auto& a, const auto& b) { return a.second < b.second; });
  Forget({oldest->first});
}

void XdsClient::Forget(const std::vector<net::Address>& destinations) {
  if (destinations.empty()) {
    return;
  }
  std::vector<std::string> names;
  for (const net::Address& destination : destinations) {
    store_.Unwant(destination);
    last_used_.erase(destination);
    names.push_back(DestinationName(destination));
  }
  subscriptions_gauge_.Set(store_.wanted());
  ForEachSession([&](Session& session) { session.Unsubscribe(ResourceType::kListener, names); });
}

void XdsClient::ForEachSession(const std::function<void(Session&)>& call) {
  for (Session* session : {current_.get(), next_.get()}) {
    if (session != nullptr) {
      call(*session);
    }
  }
}

}  // namespace countersign::xds
