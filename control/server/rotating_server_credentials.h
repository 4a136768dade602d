// gRPC server credentials whose certificate follows a ServingCertificate.
#ifndef COUNTERSIGN_CONTROL_SERVER_ROTATING_SERVER_CREDENTIALS_H_
#define COUNTERSIGN_CONTROL_SERVER_ROTATING_SERVER_CREDENTIALS_H_

#include <memory>

#include "control/server/serving_certificate.h"

namespace grpc {
class ServerCredentials;
}  // namespace grpc

namespace countersign::control::server {

// For one listening port (gRPC keeps the state of reloading per port). The certificate in force is
// looked up at every handshake; connections keep the one that they began with. A client certificate
// is requested and handed to the services unverified: they verify it by the SPIFFE rules, of which
// gRPC knows nothing. The result and `certificate` outlive the server: gRPC itself keeps only its
// own half of the credentials.
std::shared_ptr<grpc::ServerCredentials> RotatingServerCredentials(
    const ServingCertificate& certificate);

// Call once, before gRPC is first used: makes its server refuse TLS 1.2.
void RequireTls13();

}  // namespace countersign::control::server

#endif  // COUNTERSIGN_CONTROL_SERVER_ROTATING_SERVER_CREDENTIALS_H_
