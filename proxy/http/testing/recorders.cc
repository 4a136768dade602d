#include "proxy/http/testing/recorders.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace countersign::http::testing {

using buffer::Buffer;

std::string Text(const HeaderMap& headers) {
  std::string text;
  for (const Field& field : headers.fields()) {
    absl::StrAppend(&text, field.name, ": ", field.value, "\n");
  }
  return text;
}

void Exchange::OnData(Buffer& data, bool end) {
  body += data.ToString();
  data.Clear();
  complete = complete || end;
  if (on_data) on_data(*this);
}

void Exchange::OnTrailers(HeaderMap& fields) {
  trailers = Text(fields);
  had_trailers = true;
  complete = true;
  if (on_data) on_data(*this);
}

void Exchange::OnEnd(StreamEnd reason) {
  stream = nullptr;
  ++ends;
  end = reason;
}

void Exchange::Respond(uint16_t status, const std::string& text) {
  ResponseHead head;
  head.status = status;
  const std::string length = absl::StrCat(text.size());
  head.headers.Add(HeaderId::kContentLength, length);
  stream->SendHeaders(head, text.empty());
  if (text.empty()) return;
  Buffer data;
  data.Append(text);
  stream->SendData(data, true);
}

void ServerRecorder::OnRequest(ServerStream& stream) {
  auto exchange = std::make_unique<Exchange>();
  exchange->stream = &stream;
  const RequestHead& head = stream.request();
  exchange->method = std::string(head.method);
  exchange->scheme = std::string(head.scheme);
  exchange->authority = std::string(head.authority);
  exchange->path = std::string(head.path);
  exchange->upgrade = std::string(head.upgrade);
  exchange->headers = Text(head.headers);
  exchange->protocol = head.protocol;
  exchange->complete = stream.request_complete();
  stream.SetHandler(exchange.get());
  requests.push_back(std::move(exchange));
  if (on_request) on_request(*requests.back());
}

void ServerRecorder::OnBadRequest(uint16_t status, absl::string_view sentence) {
  bad.push_back(status);
  why = std::string(sentence);
}

void Call::OnInformational(ResponseHead& head) { informational.push_back(head.status); }

void Call::OnHeaders(ResponseHead& head, bool end) {
  status = head.status;
  headers = Text(head.headers);
  complete = end;
}

void Call::OnData(Buffer& data, bool end) {
  body += data.ToString();
  data.Clear();
  complete = complete || end;
}

void Call::OnTrailers(HeaderMap& fields) {
  trailers = Text(fields);
  had_trailers = true;
  complete = true;
}

void Call::OnEnd(StreamEnd reason) {
  stream = nullptr;
  ++ends;
  end = reason;
}

void FillRequest(RequestHead& head, absl::string_view method, absl::string_view path) {
  head.method = method;
  head.scheme = "http";
  head.authority = "shop.example";
  head.path = path;
}

void Feed(Codec& codec, absl::string_view bytes, size_t piece, Instant now) {
  if (piece == 0) piece = std::max<size_t>(bytes.size(), 1);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    Buffer data;
    data.Append(bytes.substr(at, piece));
    codec.Receive(data, false, now);
  }
}

std::string Drain(Codec& codec, bool* open) {
  std::string all;
  for (int i = 0; i < 10000; ++i) {
    Buffer out;
    const bool more = codec.Produce(out, 256 * 1024);
    if (open != nullptr) *open = more;
    all += out.ToString();
    if (out.empty()) break;
  }
  return all;
}

void Converse(Codec& a, Codec& b, Instant now) {
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& [from, to] : {std::pair<Codec*, Codec*>(&a, &b), {&b, &a}}) {
      Buffer wire;
      (void)from->Produce(wire, 256 * 1024);
      if (wire.empty()) continue;
      moved = true;
      to->Receive(wire, false, now);
    }
  }
}

}  // namespace countersign::http::testing
