// Connections to the application's own ports.
#ifndef COUNTERSIGN_PROXY_PIPELINE_INBOUND_H_
#define COUNTERSIGN_PROXY_PIPELINE_INBOUND_H_

#include "proxy/pipeline/environment.h"

namespace countersign::pipeline {

// A connection that was captured on its way to our application. `forward`: the application's
// address, for listeners without netfilter; null: the kernel knows.
void AcceptInbound(Environment& env, net::Socket socket, const net::Address& client,
                   const net::Address* forward);

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_INBOUND_H_
