#include "proxy/tls/handshake_rehearsal.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"
#include "proxy/tls/tls_transport_socket.h"

namespace countersign::tls {
namespace {

// Two flights each way, and room for what a flight is cut into.
constexpr int kMostTurns = 16;

struct End {
  net::Socket socket;
  std::unique_ptr<TlsTransportSocket> tls;
  buffer::Buffer to_send;
  buffer::Buffer received;
};

absl::Status Turn(End& end, absl::string_view role) {
  (void)end.tls->Write(end.socket, end.to_send, /*end=*/false);
  const net::IoResult result = end.tls->Read(end.socket, end.received, /*expect_end=*/false);
  if (result.status == net::IoStatus::kFailed) {
    return absl::FailedPreconditionError(absl::StrCat("as ", role, ": ", end.tls->Explain()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RehearseHandshake(const std::shared_ptr<const identity::SecretSnapshot>& secret,
                               const event::Clock& clock) {
  const auto client_context = TlsContext::Create(Role::kClient, secret);
  if (!client_context.ok()) return client_context.status();
  const auto server_context = TlsContext::Create(Role::kServer, secret);
  if (!server_context.ok()) return server_context.status();
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no sockets to rehearse with: ", std::strerror(errno)));
  }
  PeerVerifier verifier;
  End client;
  client.socket = net::Socket(fds[0]);
  End server;
  server.socket = net::Socket(fds[1]);
  client.tls = std::make_unique<TlsTransportSocket>(
      TlsOptions{*client_context, net::kMeshAlpn, secret->id, &verifier, &clock}, nullptr);
  server.tls = std::make_unique<TlsTransportSocket>(
      TlsOptions{*server_context, net::kMeshAlpn, {}, &verifier, &clock}, nullptr);
  client.to_send.Append("c", 1);
  server.to_send.Append("s", 1);
  for (int i = 0; i < kMostTurns && (client.received.empty() || server.received.empty()); ++i) {
    absl::Status status = Turn(client, "client");
    if (status.ok()) status = Turn(server, "server");
    if (!status.ok()) return status;
  }
  if (client.received.empty() || server.received.empty()) {
    return absl::InternalError("the handshake did not end");
  }
  return absl::OkStatus();
}

}  // namespace countersign::tls
