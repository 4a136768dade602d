// A bidirectional stream of opaque messages to the control plane: the seam under the identity
// client and the xDS client. Whoever is above serialises its own protobufs; whoever is below owns
// gRPC, TLS and the check of the control plane's SPIFFE ID.
#ifndef COUNTERSIGN_PROXY_IDENTITY_CONTROL_STREAM_H_
#define COUNTERSIGN_PROXY_IDENTITY_CONTROL_STREAM_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "api/spiffe/spiffe_id.h"
#include "api/spiffe/trust.h"
#include "proxy/identity/secret_snapshot.h"

namespace countersign::identity {

// One open (or opening) stream. Thread: main. Destroying it cancels it; its handler is not called
// any more.
class ControlStream {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    // A whole message, on the main thread.
    virtual void OnMessage(const std::string& message) = 0;
    // The stream is over; called at most once, on the main thread, and may destroy the stream.
    // The status is never OK: an orderly end by the control plane is Unavailable. What TLS or the
    // check of the control plane's identity said is in the message.
    virtual void OnClosed(const absl::Status& status) = 0;
  };

  virtual ~ControlStream() = default;
  // Queues `message`; the order is kept. The buffer is wiped once gRPC has taken it over, since
  // the first message of the identity stream carries a join token.
  virtual void Send(std::string message) = 0;
};

struct ControlStreamParams {
  std::string method;  // `/package.Service/Method`
  // What the control plane must prove: a chain to `bundles` and exactly this ID.
  spiffe::SpiffeId control_id;
  std::shared_ptr<const spiffe::BundleSet> bundles;
  std::shared_ptr<const spiffe::DenyList> deny_list;  // may be null
  // Our own certificate for mutual TLS; null: none is presented.
  std::shared_ptr<const SecretSnapshot> client;
};

// Opens streams: GrpcControlDialer in the product, a scripted one in unit tests.
class ControlDialer {
 public:
  virtual ~ControlDialer() = default;
  // Never null; failures arrive at OnClosed, never from inside this call.
  virtual std::unique_ptr<ControlStream> Open(const ControlStreamParams& params,
                                              ControlStream::Handler& handler) = 0;
};

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_CONTROL_STREAM_H_
