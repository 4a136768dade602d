// Someone who waits for a stream to a host.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_HTTP_STREAM_REQUEST_H_
#define COUNTERSIGN_PROXY_UPSTREAM_HTTP_STREAM_REQUEST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "api/net/address.h"
#include "api/spiffe/verifier.h"
#include "proxy/buffer/close_reason.h"
#include "proxy/http/codec.h"

namespace countersign::upstream {

struct Host;

class HttpStreamQueue;

enum class PoolFailure : uint8_t {
  kOverflow,    // a circuit breaker (connections, pending, requests)
  kConnect,     // TCP, tunnel or TLS failed, or timed out; nothing was sent
  kNoIdentity,  // the proxy has no certificate yet
};

// What is known of the connection that carries a stream. Lives as long as the stream.
struct UpstreamConnectionInfo {
  net::Address local;
  net::Address remote;
  http::Protocol protocol = http::Protocol::kHttp11;
  std::shared_ptr<const spiffe::PeerSvid> peer;  // null: plaintext
  // It has carried other requests before. (One that ended under its first byte may have been closed
  // by its peer as idle: RFC 9112, section 9.3.1.)
  bool reused = false;
  // Why it ended, and the same in words; set before its streams hear of it.
  buffer::CloseReason close_reason = buffer::CloseReason::kNone;
  std::string close_explanation;
};

// A member or base of the object that waits, whose destructor takes it out of the queue. Exactly
// one of the two functions is called, perhaps before NewStream returns, unless Cancel came first.
class HttpStreamRequest {
 public:
  HttpStreamRequest() = default;
  HttpStreamRequest(const HttpStreamRequest&) = delete;
  HttpStreamRequest& operator=(const HttpStreamRequest&) = delete;
  bool waiting() const { return queue_ != nullptr; }
  void Cancel();

  // What the application's own client spoke: where nobody said what the endpoint speaks, it is
  // called in the same. Asked for once, in NewStream.
  virtual http::Protocol downstream_protocol() const = 0;
  // The stream's callbacks go here; asked for once, before OnStreamReady.
  virtual http::ClientStream::Handler& stream_handler() = 0;
  // SendHeaders must be called on it before this returns, or Reset.
  virtual void OnStreamReady(http::ClientStream& stream,
                             const UpstreamConnectionInfo& connection) = 0;
  virtual void OnStreamFailed(PoolFailure failure, buffer::CloseReason reason,
                              const std::string& explanation) = 0;

 protected:
  ~HttpStreamRequest() { Cancel(); }

 private:
  friend class HttpStreamQueue;
  HttpStreamQueue* queue_ = nullptr;
  HttpStreamRequest* next_ = nullptr;
  HttpStreamRequest* previous_ = nullptr;
};

// Requests in the order in which they came.
class HttpStreamQueue {
 public:
  class Owner {
   public:
    // Somebody who waited gave up, and is out of the queue already.
    virtual void OnRequestCancelled() = 0;

   protected:
    ~Owner() = default;
  };

  explicit HttpStreamQueue(Owner& owner) : owner_(owner) {}
  HttpStreamQueue(const HttpStreamQueue&) = delete;
  HttpStreamQueue& operator=(const HttpStreamQueue&) = delete;
  ~HttpStreamQueue();  // whoever is left waits no more, and is not told

  bool empty() const { return head_ == nullptr; }
  uint32_t size() const { return size_; }
  void Push(HttpStreamRequest& request);
  // Not when empty.
  HttpStreamRequest& Pop();

 private:
  friend class HttpStreamRequest;
  void Remove(HttpStreamRequest& request);

  Owner& owner_;
  HttpStreamRequest* head_ = nullptr;
  HttpStreamRequest* tail_ = nullptr;
  uint32_t size_ = 0;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_HTTP_STREAM_REQUEST_H_
