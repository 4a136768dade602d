#include "control/ads/delta_session.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "api/xds/names.h"

namespace countersign::control::ads {
namespace {

using compile::Compiled;
using compile::Type;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr size_t kMaxLoggedBytes = 1024;

// Nothing that comes after them refers to them: they may go as soon as they are gone.
bool IsLate(Type type) { return type == Type::kListener || type == Type::kRoutes; }

// A peer's text for our log: one line, bounded.
std::string Printable(absl::string_view text) {
  std::string out(text.substr(0, kMaxLoggedBytes));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return out;
}

}  // namespace

DeltaSession::DeltaSession(std::string proxy, std::string label, Limits limits, ResourceHub& hub,
                           AdsMetrics& metrics)
    : proxy_(std::move(proxy)),
      label_(std::move(label)),
      limits_(limits),
      hub_(hub),
      metrics_(metrics) {}

DeltaSession::~DeltaSession() {
  for (Type type : compile::kPushOrder) {
    for (const auto& [name, subscription] : state(type).subscriptions) {
      hub_.Unsubscribe(ResourceHub::KeyFor(type, name, proxy_), this);
    }
  }
}

size_t DeltaSession::subscriptions() const {
  size_t total = 0;
  for (const TypeState& type : types_) {
    total += type.subscriptions.size();
  }
  return total;
}

absl::Status DeltaSession::OnRequest(const DeltaDiscoveryRequest& request, absl::Time now) {
  if (first_request_) {
    first_request_ = false;
    const auto& features = request.node().client_features();
    follow_references_ =
        std::find(features.begin(), features.end(), xds::kFollowReferences) != features.end();
  }
  Type type;
  if (!compile::TypeOfUrl(request.type_url(), &type)) {
    // Envoy may ask for types that we do not serve; silence is the protocol's answer.
    spdlog::debug("{} asks for {}, which is not served", label_, Printable(request.type_url()));
    return absl::OkStatus();
  }
  TypeState& types = state(type);
  const bool first = !std::exchange(types.seen, true);
  if (!request.response_nonce().empty()) {
    OnAcknowledgement(request, type, now);
  }
  if (first) {
    if (static_cast<size_t>(request.initial_resource_versions_size()) > limits_.max_subscriptions) {
      return absl::ResourceExhaustedError("initial_resource_versions: too many resources");
    }
    for (const auto& [name, version] : request.initial_resource_versions()) {
      types.initial_versions[name] = version;
    }
    // The protocol's old spelling of the wildcard (xDS protocol, `Wildcard subscriptions`). Who has
    // been sent a type by reference begins with an acknowledgement, which asks for nothing.
    if (request.resource_names_subscribe().empty() && request.response_nonce().empty() &&
        compile::HasWildcard(type)) {
      types.wildcard = true;
    }
  }
  for (const std::string& name : request.resource_names_unsubscribe()) {
    if (name == "*") {
      types.wildcard = false;
      SyncWildcard(type);
    } else {
      Unsubscribe(type, name);
    }
  }
  for (const std::string& name : request.resource_names_subscribe()) {
    if (name == "*" && compile::HasWildcard(type)) {
      types.wildcard = true;
    } else if (absl::Status status = Subscribe(type, name, true, false); !status.ok()) {
      return status;
    }
  }
  if (types.wildcard) {
    SyncWildcard(type);
  }
  types.initial_versions.clear();
  return absl::OkStatus();
}

void DeltaSession::OnAcknowledgement(const DeltaDiscoveryRequest& request, Type type,
                                     absl::Time now) {
  uint64_t nonce = 0;
  auto it = absl::SimpleAtoi(request.response_nonce(), &nonce) ? outstanding_.find(nonce)
                                                               : outstanding_.end();
  if (it == outstanding_.end() || it->second.type != type) {
    return;  // of an earlier stream, or made up: says nothing
  }
  const Outstanding outstanding = it->second;
  outstanding_.erase(it);
  if (request.has_error_detail()) {
    metrics_.Nacked(type);
    std::string reason = Printable(request.error_detail().message());
    if (reason != last_nack_) {
      spdlog::warn("{} refuses {} resources and keeps what it had: {}", label_,
                   compile::TypeLabel(type), reason);
      last_nack_ = std::move(reason);
    }
  } else if (outstanding.event != absl::InfiniteFuture()) {
    metrics_.Acked(now - outstanding.event);
  }
}

absl::Status DeltaSession::Subscribe(Type type, const std::string& name, bool explicit_request,
                                     bool wildcard) {
  if (name.empty() || name.size() > limits_.max_name_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "resource_names_subscribe: a name must have 1 to ", limits_.max_name_bytes, " bytes"));
  }
  if (subscriptions() >= limits_.max_subscriptions) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a stream may subscribe to at most ", limits_.max_subscriptions,
                     " resources; unsubscribe from those that are not used"));
  }
  TypeState& types = state(type);
  auto [it, inserted] = types.subscriptions.try_emplace(name);
  if (!inserted) {
    it->second.wildcard &= wildcard;
    if (!explicit_request) {
      return absl::OkStatus();
    }
    // The proxy may have dropped what it had before it asked again (xDS protocol, `Subscribing to
    // resources`): it is sent whatever is there.
    it->second.answered = false;
    it->second.sent = nullptr;
  }
  it->second.wildcard = wildcard && inserted;
  const std::shared_ptr<const Compiled> current =
      hub_.Subscribe(ResourceHub::KeyFor(type, name, proxy_), this);
  if (auto known = types.initial_versions.find(name); known != types.initial_versions.end()) {
    it->second.known_version = known->second;
  }
  if (current != nullptr && it->second.known_version == current->version) {
    it->second.sent = current;
    it->second.answered = true;
  } else {
    MarkPending(type, name, absl::InfiniteFuture());
  }
  return current == nullptr ? absl::OkStatus() : FollowReferences(*current);
}

absl::Status DeltaSession::FollowReferences(const Compiled& compiled) {
  if (follow_references_) {
    for (const compile::ResourceRef& reference : compiled.references) {
      if (absl::Status status = Subscribe(reference.type, reference.name, false, false);
          !status.ok()) {
        return status;
      }
    }
  }
  return absl::OkStatus();
}

void DeltaSession::Unsubscribe(Type type, const std::string& name) {
  TypeState& types = state(type);
  if (types.subscriptions.erase(name) > 0) {
    hub_.Unsubscribe(ResourceHub::KeyFor(type, name, proxy_), this);
  }
}

void DeltaSession::SyncWildcard(Type type) {
  TypeState& types = state(type);
  if (types.wildcard) {
    for (const std::string& name : hub_.Names(type)) {
      // Beyond the limit the rest is left out; the proxy is told nothing false.
      if (!Subscribe(type, name, false, true).ok()) {
        break;
      }
    }
    return;
  }
  std::vector<std::string> gone;
  for (const auto& [name, subscription] : types.subscriptions) {
    if (subscription.wildcard) {
      gone.push_back(name);
    }
  }
  for (const std::string& name : gone) {
    Unsubscribe(type, name);
  }
}

void DeltaSession::OnModel() {
  for (Type type : compile::kPushOrder) {
    if (state(type).wildcard) {
      SyncWildcard(type);
    }
  }
}

void DeltaSession::OnResourceChanged(Type type, const std::string& name, absl::Time event) {
  if (!state(type).subscriptions.contains(name)) {
    return;
  }
  MarkPending(type, name, event);
  const std::shared_ptr<const Compiled> current = hub_.Get(ResourceHub::KeyFor(type, name, proxy_));
  if (current != nullptr) {
    // What it refers to now must reach the proxy with it. At the limit the reference stays
    // unresolved, which the proxy treats as a destination without endpoints.
    FollowReferences(*current).IgnoreError();
  }
}

void DeltaSession::MarkPending(Type type, const std::string& name, absl::Time event) {
  TypeState& types = state(type);
  Subscription& subscription = types.subscriptions[name];
  subscription.event = std::min(subscription.event, event);
  if (!subscription.pending) {
    subscription.pending = true;
    types.pending.push_back(name);
  }
}

std::optional<DeltaSession::Frame> DeltaSession::NextFrame() {
  if (outstanding_.size() >= limits_.max_unacknowledged) {
    return std::nullopt;
  }
  for (Type type : compile::kPushOrder) {
    if (std::optional<Frame> frame = BuildFrame(type, true, IsLate(type))) {
      return frame;
    }
  }
  for (Type type : {Type::kEndpoints, Type::kCluster}) {
    if (std::optional<Frame> frame = BuildFrame(type, false, true)) {
      return frame;
    }
  }
  return std::nullopt;
}

std::optional<DeltaSession::Frame> DeltaSession::BuildFrame(Type type, bool resources,
                                                            bool removals) {
  TypeState& types = state(type);
  if (types.pending.empty()) {
    return std::nullopt;
  }
  Frame frame;
  DeltaDiscoveryResponse head;
  absl::Time event = absl::InfiniteFuture();
  size_t bytes = 0;
  std::vector<std::string> left;
  for (std::string& name : types.pending) {
    auto it = types.subscriptions.find(name);
    if (it == types.subscriptions.end() || !it->second.pending) {
      continue;
    }
    Subscription& subscription = it->second;
    const std::shared_ptr<const Compiled> current =
        hub_.Get(ResourceHub::KeyFor(type, name, proxy_));
    const bool same = subscription.answered &&
                      (current == nullptr) == (subscription.sent == nullptr) &&
                      (current == nullptr || current->version == subscription.sent->version);
    if (same) {
      subscription.pending = false;
      subscription.event = absl::InfiniteFuture();
      continue;
    }
    if (!(current == nullptr ? removals : resources) || bytes > limits_.max_frame_bytes) {
      left.push_back(std::move(name));
      continue;
    }
    event = std::min(event, std::exchange(subscription.event, absl::InfiniteFuture()));
    subscription.pending = false;
    subscription.answered = true;
    subscription.sent = current;
    if (current == nullptr) {
      bytes += name.size();
      head.add_removed_resources(name);
      if (subscription.wildcard) {
        Unsubscribe(type, name);
      }
    } else {
      bytes += current->bytes.size();
      frame.resources.push_back(current);
    }
  }
  types.pending = std::move(left);
  if (frame.resources.empty() && head.removed_resources().empty()) {
    return std::nullopt;
  }
  const uint64_t nonce = ++last_nonce_;
  outstanding_[nonce] = {type, event};
  head.set_nonce(absl::StrCat(nonce));
  head.set_type_url(compile::TypeUrl(type));
  head.set_system_version_info(absl::StrCat(hub_.compiler()->model().version()));
  frame.head = head.SerializeAsString();
  metrics_.Pushed(type, frame.resources.size(), head.removed_resources_size());
  return frame;
}

}  // namespace countersign::control::ads
