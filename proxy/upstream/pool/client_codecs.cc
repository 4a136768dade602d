#include "proxy/upstream/pool/client_codecs.h"

#include "proxy/http/h1/h1_client_codec.h"
#include "proxy/http/h2/h2_client_codec.h"

namespace countersign::upstream {

std::unique_ptr<http::ClientCodec> NewClientCodec(http::Protocol protocol,
                                                  http::ClientCodec::Owner& owner,
                                                  const http::CodecLimits& limits) {
  if (protocol == http::Protocol::kHttp2) {
    return std::make_unique<http::h2::H2ClientCodec>(owner, limits);
  }
  return std::make_unique<http::h1::H1ClientCodec>(owner, limits);
}

}  // namespace countersign::upstream
