#include "proxy/pipeline/inbound.h"

namespace countersign::pipeline {

void AcceptInbound(Environment&, net::Socket socket, const net::Address&, const net::Address*) {
  socket.CloseWithReset();
}

}  // namespace countersign::pipeline
