// Makes the codec of a connection to a server.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_POOL_CLIENT_CODECS_H_
#define COUNTERSIGN_PROXY_UPSTREAM_POOL_CLIENT_CODECS_H_

#include <memory>

#include "proxy/http/codec.h"

namespace countersign::upstream {

// kHttp2, or HTTP/1.1 for anything else.
std::unique_ptr<http::ClientCodec> NewClientCodec(http::Protocol protocol,
                                                  http::ClientCodec::Owner& owner,
                                                  const http::CodecLimits& limits);

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_POOL_CLIENT_CODECS_H_
