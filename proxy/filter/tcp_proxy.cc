#include "proxy/filter/tcp_proxy.h"

namespace countersign::filter {

using buffer::ByteStream;
using buffer::CloseReason;

void TcpProxy::Start(ByteStream& downstream, ByteStream& upstream) {
  downstream_.stream = &downstream;
  upstream_.stream = &upstream;
  downstream.SetHandler(this);
  upstream.SetHandler(this);
}

void TcpProxy::OnOpen(ByteStream& stream) {
  if (&stream == upstream_.stream) owner_.OnUpstreamOpen();
}

void TcpProxy::OnData(ByteStream& stream, buffer::Buffer& data, bool end) {
  if (done_) return data.Clear();
  const bool up = &stream == downstream_.stream;
  Side& from = up ? downstream_ : upstream_;
  Side& to = up ? upstream_ : downstream_;
  from.bytes += data.size();
  if (stats::Cell* cell = up ? received_ : sent_; cell != nullptr) cell->Add(data.size());
  to.stream->Write(data, end);
  if (!from.stopped && !end && to.stream->unsent() >= buffer::kHighWatermark) {
    from.stopped = true;
    stream.ReadDisable(true);
  }
}

void TcpProxy::OnWritable(ByteStream& stream) {
  Side& from = &stream == downstream_.stream ? upstream_ : downstream_;
  if (!from.stopped || from.finished) return;
  from.stopped = false;
  from.stream->ReadDisable(false);
}

void TcpProxy::OnClosed(ByteStream& stream, CloseReason reason) {
  if (done_) return;
  const bool by_upstream = &stream == upstream_.stream;
  Side& side = by_upstream ? upstream_ : downstream_;
  Side& other = by_upstream ? downstream_ : upstream_;
  side.finished = true;
  if (reason == CloseReason::kFinished && !other.finished) return;
  done_ = true;
  reason_ = reason;
  by_upstream_ = by_upstream;
  if (reason != CloseReason::kFinished && !other.finished) {
    // An answer and the reset behind it often come in one turn: the answer is written at its end.
    if (other.stream->unsent() > 0) return dispatcher_.RunNextTurn(reset_);
    other.stream->Reset();
  }
  owner_.OnProxyDone(reason, by_upstream);
}

void TcpProxy::FinishReset() {
  (by_upstream_ ? downstream_ : upstream_).stream->Reset();
  owner_.OnProxyDone(reason_, by_upstream_);
}

}  // namespace countersign::filter
