#include "proxy/tls/tls_transport_socket.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace countersign::tls {
namespace {

using buffer::Buffer;
using buffer::CloseReason;
using net::IoResult;
using net::IoStatus;
using spiffe::VerifyError;

// Ciphertext that is prepared before the socket is asked; bounds memory, and the number of records
// in a system call.
constexpr size_t kMaxBatch = 512 * 1024;
// A peer that sends only records without data makes us work for nothing: this many are free, and
// one more for every 64 KiB of data.
constexpr uint32_t kFreeCheapRecords = 64;
constexpr size_t kMaxPostHandshakeMessage = 64 * 1024;

constexpr int kHandshakeNewSessionTicket = 4;
constexpr int kHandshakeKeyUpdate = 24;
constexpr int kAlertCloseNotify = 0;
constexpr int kAlertUserCanceled = 90;

int X509ErrorFor(VerifyError error) {
  // Chosen so that OpenSSL sends the alert that fits: ssl_x509err2alert().
  switch (error) {
    case VerifyError::kNone:
      return X509_V_OK;
    case VerifyError::kExpired:
    case VerifyError::kNotYetValid:
      return X509_V_ERR_CERT_HAS_EXPIRED;
    case VerifyError::kDenied:
      return X509_V_ERR_CERT_REVOKED;
    case VerifyError::kUnknownTrustDomain:
    case VerifyError::kUntrustedChain:
      return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT;
    case VerifyError::kUnexpectedId:
      return X509_V_ERR_APPLICATION_VERIFICATION;
    default:
      return X509_V_ERR_CERT_REJECTED;
  }
}

TlsTransportSocket* SocketOf(const SSL* ssl) {
  return static_cast<TlsTransportSocket*>(SSL_get_ex_data(ssl, TlsContext::SslIndex()));
}

}  // namespace

TlsTransportSocket::TlsTransportSocket(TlsOptions options, Buffer* seen)
    : options_(std::move(options)), server_(options_.context->role() == Role::kServer) {
  if (seen != nullptr) in_.Move(*seen);
  ssl_ = options_.context->NewSsl(this);
  BIO* bio = ssl_ == nullptr ? nullptr : BIO_new(BioMethod());
  if (bio == nullptr) {
    failed_ = true;
    return;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  if (server_) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  std::string wire;  // RFC 7301, section 3.1
  for (const absl::string_view name : options_.alpn.names()) {
    wire.push_back(static_cast<char>(name.size()));
    wire.append(name.data(), name.size());
  }
  // Returns 0 on success, unlike its neighbours.
  if (SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const uint8_t*>(wire.data()),
                          static_cast<unsigned>(wire.size())) != 0) {
    failed_ = true;
    return;
  }
  (void)DoHandshake();  // ClientHello
}

TlsTransportSocket::~TlsTransportSocket() {
  OPENSSL_cleanse(client_secret_.data(), client_secret_.size());
  OPENSSL_cleanse(server_secret_.data(), server_secret_.size());
}

void TlsTransportSocket::InstallCallbacks(SSL_CTX* ctx, Role role) {
  SSL_CTX_set_cert_verify_callback(ctx, &TlsTransportSocket::OnVerify, nullptr);
  SSL_CTX_set_keylog_callback(ctx, &TlsTransportSocket::OnKeyLog);
  if (role == Role::kServer) {
    SSL_CTX_set_alpn_select_cb(ctx, &TlsTransportSocket::OnSelectAlpn, nullptr);
  }
}

int TlsTransportSocket::OnVerify(X509_STORE_CTX* store, void*) {
  SSL* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsTransportSocket* self = SocketOf(ssl);
  const identity::SecretSnapshot& secret = self->options_.context->secret();
  VerifyError error = self->options_.verifier->Verify(
      X509_STORE_CTX_get0_cert(store), X509_STORE_CTX_get0_untrusted(store), secret.bundles,
      secret.deny_list, self->options_.clock->Wall(), &self->peer_);
  if (error == VerifyError::kNone && !self->server_ &&
      !(self->peer_->id == self->options_.expected_id)) {
    error = VerifyError::kUnexpectedId;
  }
  self->verify_error_ = error;
  X509_STORE_CTX_set_error(store, X509ErrorFor(error));
  return error == VerifyError::kNone ? 1 : 0;
}

int TlsTransportSocket::OnSelectAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                                     const unsigned char* in, unsigned in_length, void*) {
  for (const absl::string_view wanted : SocketOf(ssl)->options_.alpn.names()) {
    for (unsigned i = 0; i < in_length; i += 1 + in[i]) {
      const unsigned n = in[i];
      if (i + 1 + n > in_length) break;
      if (absl::string_view(reinterpret_cast<const char*>(in + i + 1), n) == wanted) {
        *out = in + i + 1;
        *out_length = static_cast<unsigned char>(n);
        return SSL_TLSEXT_ERR_OK;
      }
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// The only way in which OpenSSL 3.0 hands out the traffic secrets. `line`: label, client random and
// secret, in hex, separated by spaces.
void TlsTransportSocket::OnKeyLog(const SSL* ssl, const char* line) {
  TlsTransportSocket* self = SocketOf(ssl);
  const absl::string_view text(line);
  std::string* secret = text.substr(0, 24) == "CLIENT_TRAFFIC_SECRET_0 "   ? &self->client_secret_
                        : text.substr(0, 24) == "SERVER_TRAFFIC_SECRET_0 " ? &self->server_secret_
                                                                           : nullptr;
  if (secret == nullptr) return;
  *secret = absl::HexStringToBytes(text.substr(text.rfind(' ') + 1));
}

BIO_METHOD* TlsTransportSocket::BioMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "countersign buffer");
    BIO_meth_set_read(m, &TlsTransportSocket::BioRead);
    BIO_meth_set_write(m, &TlsTransportSocket::BioWrite);
    BIO_meth_set_ctrl(m, &TlsTransportSocket::BioCtrl);
    return m;
  }();
  return method;
}

int TlsTransportSocket::BioRead(BIO* bio, char* out, int n) {
  TlsTransportSocket* self = static_cast<TlsTransportSocket*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const size_t got = self->in_.CopyOut(out, static_cast<size_t>(n));
  if (got == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  self->in_.Drain(got);
  return static_cast<int>(got);
}

int TlsTransportSocket::BioWrite(BIO* bio, const char* in, int n) {
  BIO_clear_retry_flags(bio);
  static_cast<TlsTransportSocket*>(BIO_get_data(bio))->out_.Append(in, static_cast<size_t>(n));
  return n;
}

long TlsTransportSocket::BioCtrl(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

IoResult TlsTransportSocket::DoHandshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) {
    if (FinishHandshake()) return {IoStatus::kMore};
    failed_ = true;
    return {IoStatus::kFailed, CloseReason::kTlsHandshake};
  }
  if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return {IoStatus::kAgain};
  failed_ = true;
  library_reason_ = ERR_GET_REASON(ERR_peek_last_error());
  ERR_clear_error();
  if (library_reason_ > SSL_AD_REASON_OFFSET && library_reason_ < SSL_AD_REASON_OFFSET + 256 &&
      verify_error_ == VerifyError::kNone) {
    alert_ = library_reason_ - SSL_AD_REASON_OFFSET;
    return {IoStatus::kFailed, CloseReason::kTlsAlert};
  }
  return {IoStatus::kFailed, CloseReason::kTlsHandshake};
}

bool TlsTransportSocket::FinishHandshake() {
  const unsigned char* alpn = nullptr;
  unsigned alpn_length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &alpn_length);
  alpn_ = options_.alpn.Find(absl::string_view(reinterpret_cast<const char*>(alpn), alpn_length));
  if (alpn_.empty()) {
    library_reason_ = SSL_R_NO_APPLICATION_PROTOCOL;
    return false;
  }
  // The verify callback ran and agreed, in this handshake: without it nobody is let in, whatever
  // OpenSSL thinks.
  if (peer_ == nullptr || verify_error_ != VerifyError::kNone) return false;
  const uint16_t suite =
      static_cast<uint16_t>(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get())));
  const bool ok = opener_.Init(suite, server_ ? client_secret_ : server_secret_, /*seal=*/false) &&
                  sealer_.Init(suite, server_ ? server_secret_ : client_secret_, /*seal=*/true);
  OPENSSL_cleanse(client_secret_.data(), client_secret_.size());
  OPENSSL_cleanse(server_secret_.data(), server_secret_.size());
  client_secret_ = {};
  server_secret_ = {};
  ssl_.reset();
  options_.context.reset();
  open_ = ok;
  return ok;
}

IoResult TlsTransportSocket::Read(const net::Socket& socket, Buffer& to, bool expect_end) {
  if (failed_) return {IoStatus::kFailed, CloseReason::kTlsHandshake};
  IoResult raw = net::ReadSocket(socket, in_, &hint_, expect_end);
  if (raw.status == IoStatus::kFailed && in_.empty()) return raw;
  if (!open_) {
    const IoResult result = DoHandshake();
    if (result.status == IoStatus::kFailed) return result;
  }
  if (open_) {
    const IoResult result = OpenRecords(to);
    if (result.status != IoStatus::kAgain) return result;
  }
  // FIN without close_notify may be an attacker's: RFC 8446, section 6.1.
  if (raw.status == IoStatus::kEnd) return {IoStatus::kFailed, CloseReason::kTlsTruncated};
  return raw;
}

// kAgain: no whole record is left.
IoResult TlsTransportSocket::OpenRecords(Buffer& to) {
  uint8_t header[kRecordHeader];
  while (in_.CopyOut(header, sizeof header) == sizeof header) {
    const size_t length = static_cast<size_t>(header[3]) << 8 | header[4];
    // After the handshake every record is protected: RFC 8446, section 5.2.
    if (header[0] != 23 || header[1] != 3 || length > kMaxCiphertext) return FailWithAlert(10);
    if (in_.size() < sizeof header + length) break;
    in_.Drain(sizeof header);
    Buffer record;
    record.Move(in_, length);
    ContentType type;
    if (!opener_.Open(record, length, &type)) return FailWithAlert(20);
    if (type == ContentType::kApplicationData && !record.empty()) {
      if (!post_handshake_.empty()) return FailWithAlert(10);
      opened_bytes_ += record.size();
      to.Move(record);
      continue;
    }
    if (++cheap_records_ > kFreeCheapRecords + opened_bytes_ / 65536) return FailWithAlert(80);
    if (type == ContentType::kApplicationData) continue;
    if (type == ContentType::kAlert) {
      uint8_t alert[2];
      if (record.size() != sizeof alert) return FailWithAlert(50);
      record.CopyOut(alert, sizeof alert);
      if (alert[1] == kAlertCloseNotify) {
        close_received_ = true;
        in_.Clear();
        return {IoStatus::kEnd};
      }
      if (alert[1] == kAlertUserCanceled) continue;
      failed_ = true;
      alert_ = alert[1];
      return {IoStatus::kFailed, CloseReason::kTlsAlert};
    }
    if (type != ContentType::kHandshake) return FailWithAlert(10);
    const IoResult result = OnHandshakeMessage(record);
    if (result.status != IoStatus::kAgain) return result;
  }
  return {IoStatus::kAgain};
}

// RFC 8446, section 4.6. Tickets are ignored: nothing is ever resumed.
IoResult TlsTransportSocket::OnHandshakeMessage(Buffer& record) {
  if (record.empty() || post_handshake_.size() + record.size() > kMaxPostHandshakeMessage) {
    return FailWithAlert(10);
  }
  post_handshake_ += record.ToString();
  size_t at = 0;
  while (post_handshake_.size() - at >= 4) {
    const uint8_t* message = reinterpret_cast<const uint8_t*>(post_handshake_.data()) + at;
    const size_t length =
        static_cast<size_t>(message[1]) << 16 | static_cast<size_t>(message[2]) << 8 | message[3];
    if (length > kMaxPostHandshakeMessage) return FailWithAlert(10);
    if (post_handshake_.size() - at < 4 + length) break;
    at += 4 + length;
    if (message[0] == kHandshakeNewSessionTicket && !server_) continue;
    if (message[0] != kHandshakeKeyUpdate || length != 1 || message[4] > 1) {
      return FailWithAlert(10);
    }
    // Keys change at a record's border: RFC 8446, section 5.1.
    if (at != post_handshake_.size() || !opener_.Update()) return FailWithAlert(10);
    if (message[4] == 1) key_update_due_ = true;
  }
  post_handshake_.erase(0, at);
  if (post_handshake_.empty()) post_handshake_.shrink_to_fit();
  return {IoStatus::kAgain};
}

IoResult TlsTransportSocket::FailWithAlert(int description) {
  failed_ = true;
  SendAlert(2, description);
  return {IoStatus::kFailed, CloseReason::kTlsProtocol};
}

void TlsTransportSocket::SendAlert(int level, int description) {
  const uint8_t alert[2] = {static_cast<uint8_t>(level), static_cast<uint8_t>(description)};
  Buffer message;
  message.Append(alert, sizeof alert);
  (void)sealer_.Seal(ContentType::kAlert, message, sizeof alert, out_);
}

IoResult TlsTransportSocket::Write(const net::Socket& socket, Buffer& from, bool end) {
  for (;;) {
    if (open_ && !failed_) {
      while (!from.empty() && out_.size() < kMaxBatch) {
        if (sealer_.records() >= RecordProtection::kUpdateAfter) key_update_due_ = true;
        if (key_update_due_) {
          const uint8_t update[5] = {kHandshakeKeyUpdate, 0, 0, 1, 0};
          Buffer message;
          message.Append(update, sizeof update);
          if (!sealer_.Seal(ContentType::kHandshake, message, sizeof update, out_) ||
              !sealer_.Update()) {
            return {IoStatus::kFailed, CloseReason::kTlsProtocol};
          }
          key_update_due_ = false;
        }
        const size_t n = std::min(from.size(), kMaxPlaintext);
        if (!sealer_.Seal(ContentType::kApplicationData, from, n, out_)) {
          return {IoStatus::kFailed, CloseReason::kTlsProtocol};
        }
      }
      if (end && from.empty() && !close_sent_) {
        close_sent_ = true;
        SendAlert(1, kAlertCloseNotify);
      }
    }
    const IoResult result = net::WriteSocket(socket, out_);
    if (result.status != IoStatus::kDone) return result;
    if (!open_ || failed_) return {IoStatus::kMore};
    if (from.empty()) return {IoStatus::kDone};
  }
}

std::string TlsTransportSocket::FailureLabel() const {
  if (verify_error_ != VerifyError::kNone) {
    return absl::StrCat("verify_", spiffe::VerifyErrorLabel(verify_error_));
  }
  if (alert_ >= 0) {
    std::string label = absl::StrCat("alert_", SSL_alert_desc_string_long(alert_));
    std::replace(label.begin(), label.end(), ' ', '_');
    return label;
  }
  switch (library_reason_) {
    case 0:
      return "incomplete";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
      return "plaintext";
    case SSL_R_UNSUPPORTED_PROTOCOL:
      return "version";
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return "alpn";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "no_certificate";
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
      return "chain_too_large";
    default:
      return "protocol";
  }
}

std::string TlsTransportSocket::Explain() const {
  if (verify_error_ != VerifyError::kNone) {
    const std::string who =
        peer_ != nullptr && !peer_->id.empty()
            ? absl::StrCat("the peer's certificate for ", peer_->id.ToString(), " was refused: ")
            : "the peer's certificate was refused: ";
    const std::string expected =
        verify_error_ == VerifyError::kUnexpectedId
            ? absl::StrCat(" (expected ", options_.expected_id.ToString(), ")")
            : "";
    return absl::StrCat(who, spiffe::VerifyErrorSentence(verify_error_), expected);
  }
  if (alert_ >= 0) {
    return absl::StrCat("the peer refused this proxy with the TLS alert '",
                        SSL_alert_desc_string_long(alert_), "'; its own log names the reason");
  }
  switch (library_reason_) {
    case 0:
      return "the connection ended before the TLS handshake did";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
      return "the peer spoke plaintext where mesh mTLS was expected: it has no sidecar, its policy "
             "is DISABLE, or something between strips TLS";
    case SSL_R_UNSUPPORTED_PROTOCOL:
      return "the peer offers no TLS 1.3, which the mesh requires";
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return absl::StrCat("the peer does not speak the mesh's protocol '",
                          absl::StrJoin(options_.alpn.names(), "' or '"),
                          "' (ALPN): it is TLS, but no sidecar of this mesh");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "the peer presented no certificate; the mesh requires mutual TLS";
    case SSL_R_EXCESSIVE_MESSAGE_SIZE:
      return "the peer's certificate chain is larger than the limit of 16 KiB";
    default: {
      const char* reason = ERR_reason_error_string(
          ERR_PACK(ERR_LIB_SSL, 0, static_cast<unsigned long>(library_reason_)));
      return absl::StrCat("the TLS handshake failed: ",
                          reason == nullptr ? "malformed message" : reason);
    }
  }
}

}  // namespace countersign::tls
