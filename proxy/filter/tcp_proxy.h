// Splices two byte streams: what one brings the other sends, in both directions, until both are
// done or one breaks.
#ifndef COUNTERSIGN_PROXY_FILTER_TCP_PROXY_H_
#define COUNTERSIGN_PROXY_FILTER_TCP_PROXY_H_

#include <cstdint>

#include "proxy/buffer/byte_stream.h"
#include "proxy/event/dispatcher.h"
#include "proxy/stats/registry.h"

namespace countersign::filter {

// A member of the pipeline object that owns both streams. A slow writer stops its reader; FIN goes
// over as FIN and RST as RST, after what came before it.
class TcpProxy final : public buffer::ByteStream::Handler {
 public:
  class Owner {
   public:
    // It is over; both streams are finished or reset. `by_upstream`: which side ended it.
    virtual void OnProxyDone(buffer::CloseReason reason, bool by_upstream) = 0;
    // The upstream says that it is there.
    virtual void OnUpstreamOpen() {}

   protected:
    ~Owner() = default;
  };

  TcpProxy(event::Dispatcher& dispatcher, Owner& owner)
      : dispatcher_(dispatcher),
        owner_(owner),
        reset_(this, [](void* self) { static_cast<TcpProxy*>(self)->FinishReset(); }) {}

  // Counts bytes from (`received`) and to (`sent`) the downstream; either may be null.
  void SetCounters(stats::Cell* received, stats::Cell* sent) {
    received_ = received;
    sent_ = sent;
  }
  // Becomes the handler of both. They outlive the splice.
  void Start(buffer::ByteStream& downstream, buffer::ByteStream& upstream);
  bool started() const { return upstream_.stream != nullptr; }
  uint64_t received() const { return downstream_.bytes; }
  uint64_t sent() const { return upstream_.bytes; }

  void OnOpen(buffer::ByteStream& stream) override;
  void OnData(buffer::ByteStream& stream, buffer::Buffer& data, bool end) override;
  void OnWritable(buffer::ByteStream& stream) override;
  void OnClosed(buffer::ByteStream& stream, buffer::CloseReason reason) override;

 private:
  struct Side {
    buffer::ByteStream* stream = nullptr;
    uint64_t bytes = 0;    // read from it
    bool stopped = false;  // because the other side is full
    bool finished = false;
  };

  void FinishReset();

  event::Dispatcher& dispatcher_;
  Owner& owner_;
  event::Task reset_;
  Side downstream_;
  Side upstream_;
  stats::Cell* received_ = nullptr;
  stats::Cell* sent_ = nullptr;
  buffer::CloseReason reason_ = buffer::CloseReason::kNone;
  bool by_upstream_ = false;
  bool done_ = false;
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_TCP_PROXY_H_
