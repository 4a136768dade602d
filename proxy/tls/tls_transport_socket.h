// Mutual TLS 1.3 over a connection's socket.
#ifndef COUNTERSIGN_PROXY_TLS_TLS_TRANSPORT_SOCKET_H_
#define COUNTERSIGN_PROXY_TLS_TLS_TRANSPORT_SOCKET_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "api/spiffe/openssl_ptr.h"
#include "api/spiffe/verifier.h"
#include "proxy/event/clock.h"
#include "proxy/net/transport_socket.h"
#include "proxy/tls/peer_verifier.h"
#include "proxy/tls/record_protection.h"
#include "proxy/tls/tls_context.h"

namespace countersign::tls {

// Application protocols in the order of preference; constants of api/net/alpn.h.
class AlpnList {
 public:
  static constexpr int kMax = 2;

  AlpnList() = default;
  AlpnList(absl::string_view only) : names_{only, {}} {}             // NOLINT: one is a list too
  AlpnList(const char* only) : AlpnList(absl::string_view(only)) {}  // NOLINT
  AlpnList(absl::string_view first, absl::string_view second) : names_{first, second} {}

  absl::Span<const absl::string_view> names() const {
    return absl::MakeConstSpan(names_, names_[0].empty() ? 0 : names_[1].empty() ? 1 : 2);
  }
  // The list's own view of `name`; empty if it is not in the list.
  absl::string_view Find(absl::string_view name) const {
    for (const absl::string_view mine : names()) {
      if (mine == name) return mine;
    }
    return {};
  }

 private:
  absl::string_view names_[kMax];
};

struct TlsOptions {
  std::shared_ptr<const TlsContext> context;
  AlpnList alpn;                     // one of these must be agreed on
  spiffe::SpiffeId expected_id;      // clients: the one that may answer
  PeerVerifier* verifier = nullptr;  // outlives the connection
  const event::Clock* clock = nullptr;
};

// OpenSSL drives the handshake through memory; then its state is freed and RecordProtection takes
// over, so an open connection costs two AEAD contexts and no buffers. Many records travel in one
// system call each way. Lives with its connection, on its thread.
class TlsTransportSocket final : public net::TransportSocket {
 public:
  // `seen`: bytes that were read from the socket already; moved away.
  TlsTransportSocket(TlsOptions options, buffer::Buffer* seen);
  ~TlsTransportSocket() override;

  net::IoResult Read(const net::Socket& socket, buffer::Buffer& to, bool expect_end) override;
  net::IoResult Write(const net::Socket& socket, buffer::Buffer& from, bool end) override;
  bool open() const override { return open_; }
  bool wants_write() const override { return !out_.empty(); }
  size_t pending() const override { return out_.size(); }

  // The verified peer once open. On a verification failure: who it claimed to be, as far as that
  // could be read (may be null).
  const std::shared_ptr<const spiffe::PeerSvid>& peer() const { return peer_; }
  spiffe::VerifyError verify_error() const { return verify_error_; }
  // The application protocol that was agreed on; empty before the handshake is over. Lives for
  // ever.
  absl::string_view alpn() const { return alpn_; }
  // The TLS alert that the peer sent (RFC 8446, section 6), or -1.
  int alert() const { return alert_; }
  // The failure in words, for the log; empty while there is none.
  std::string Explain() const;
  // Its metric label: `verify_expired`, `alert_certificate_revoked`, `plaintext` …
  std::string FailureLabel() const;

  static void InstallCallbacks(SSL_CTX* ctx, Role role);

 private:
  static int OnVerify(X509_STORE_CTX* store, void*);
  static int OnSelectAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                          const unsigned char* in, unsigned in_length, void*);
  static void OnKeyLog(const SSL* ssl, const char* line);
  static BIO_METHOD* BioMethod();
  static int BioRead(BIO* bio, char* out, int n);
  static int BioWrite(BIO* bio, const char* in, int n);
  static long BioCtrl(BIO* bio, int command, long, void*);

  net::IoResult DoHandshake();
  bool FinishHandshake();
  net::IoResult OpenRecords(buffer::Buffer& to);
  net::IoResult OnHandshakeMessage(buffer::Buffer& record);
  net::IoResult FailWithAlert(int description);
  void SendAlert(int level, int description);

  TlsOptions options_;
  const bool server_;
  spiffe::SslPtr ssl_;
  buffer::Buffer in_;   // ciphertext read
  buffer::Buffer out_;  // ciphertext to write
  RecordProtection opener_;
  RecordProtection sealer_;
  std::string client_secret_;
  std::string server_secret_;
  std::shared_ptr<const spiffe::PeerSvid> peer_;
  std::string post_handshake_;  // a message in several records
  absl::string_view alpn_;
  uint64_t opened_bytes_ = 0;
  uint32_t cheap_records_ = 0;  // KeyUpdates, tickets and empty records
  int alert_ = -1;
  int library_reason_ = 0;
  spiffe::VerifyError verify_error_ = spiffe::VerifyError::kNone;
  bool open_ = false;
  bool failed_ = false;
  bool close_sent_ = false;
  bool close_received_ = false;
  bool key_update_due_ = false;
  uint8_t hint_ = 1;
};

}  // namespace countersign::tls

#endif  // COUNTERSIGN_PROXY_TLS_TLS_TRANSPORT_SOCKET_H_
