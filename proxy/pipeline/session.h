// One connection on its way through the proxy.
#ifndef COUNTERSIGN_PROXY_PIPELINE_SESSION_H_
#define COUNTERSIGN_PROXY_PIPELINE_SESSION_H_

#include <cstdint>

#include "proxy/buffer/close_reason.h"
#include "proxy/event/dispatcher.h"
#include "proxy/pipeline/connection_info.h"

namespace countersign::config {
struct ProxyConfig;
}
namespace countersign::identity {
struct SecretSnapshot;
}

namespace countersign::pipeline {

class Environment;

// Belongs to its worker's Environment from Adopt to Remove, and dies at the end of the turn in
// which it is removed.
class Session : public event::Deferred {
 public:
  explicit Session(Environment& env);
  ~Session() override = default;

  virtual bool inbound() const = 0;
  // False for a tunnel, which carries connections but is none.
  virtual bool is_connection() const { return true; }
  virtual void Describe(ConnectionInfo* info) const = 0;
  // New policy, certificates or revocations are in force: closes itself if it must not go on.
  virtual void Reevaluate() {}
  // The proxy is shutting down: take nothing new.
  virtual void StartDrain() {}
  // Ends it if it is an HTTP connection without requests, and says whether.
  virtual bool CloseIfIdle() { return false; }
  // Each of its requests has a line of its own in the access log.
  virtual bool logs_requests() const { return false; }

  // Why it was refused or broke off; kNone: it was not, or the client ended it.
  buffer::CloseReason failure() const { return failure_; }

  uint64_t id() const { return id_; }
  event::Instant started_at() const { return started_at_; }

 protected:
  Environment& env_;
  buffer::CloseReason failure_ = buffer::CloseReason::kNone;

 private:
  friend class Environment;
  const uint64_t id_;
  const event::Instant started_at_;
  Session* next_ = nullptr;
  Session* previous_ = nullptr;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_SESSION_H_
