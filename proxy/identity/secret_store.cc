#include "proxy/identity/secret_store.h"

#include <utility>

namespace countersign::identity {

void SecretStore::AddSink(SecretSink& sink) {
  sinks_.push_back(&sink);
  if (current_ != nullptr) {
    sink.OnSecret(current_);
  }
}

void SecretStore::Publish(std::shared_ptr<const SecretSnapshot> secret) {
  current_ = std::move(secret);
  for (SecretSink* sink : sinks_) {
    sink->OnSecret(current_);
  }
}

}  // namespace countersign::identity
