// Our end of a TLS connection against OpenSSL's own, over a pair of sockets.
#include "proxy/tls/tls_transport_socket.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "api/spiffe/testing/test_authority.h"
#include "gtest/gtest.h"

namespace countersign::tls {
namespace {

using buffer::Buffer;
using buffer::CloseReason;
using net::IoResult;
using net::IoStatus;
using spiffe::testing::IssuedLeaf;
using spiffe::testing::LeafOptions;
using spiffe::testing::TestAuthority;

constexpr char kOurs[] = "spiffe://cluster.local/ns/default/sa/ours";
constexpr char kTheirs[] = "spiffe://cluster.local/ns/default/sa/theirs";

void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

class TlsTransportSocketTest : public ::testing::Test {
 protected:
  TlsTransportSocketTest() { NewSockets(); }

  void NewSockets() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    SetNonBlocking(fds[0]);
    SetNonBlocking(fds[1]);
    theirs_.reset();
    socket_ = net::Socket(fds[0]);
    peer_fd_ = net::Socket(fds[1]);
  }

  void StartOurs(Role role, const std::string& expected = kTheirs, const AlpnList& alpn = "h2") {
    IssuedLeaf leaf = authority_.Issue(kOurs);
    auto secret = std::make_shared<identity::SecretSnapshot>();
    secret->id = *spiffe::SpiffeId::Parse(kOurs);
    for (const std::string& der : leaf.chain_der) {
      secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
    }
    secret->key = std::move(leaf.key);
    secret->bundles = authority_.bundles();
    secret->deny_list = std::make_shared<spiffe::DenyList>(1);
    auto context = TlsContext::Create(role, secret);
    ASSERT_TRUE(context.ok()) << context.status();
    ours_ = std::make_unique<TlsTransportSocket>(
        TlsOptions{*context, alpn, *spiffe::SpiffeId::Parse(expected), &verifier_,
                   &event::Clock::Real()},
        nullptr);
  }

  // OpenSSL with everything that it does by default, tickets and all.
  void StartTheirs(Role role, const IssuedLeaf* leaf, const std::string& alpn = "\x02h2",
                   int max_version = 0, const char* suites = nullptr) {
    ctx_.reset(SSL_CTX_new(role == Role::kClient ? TLS_client_method() : TLS_server_method()));
    if (max_version != 0) SSL_CTX_set_max_proto_version(ctx_.get(), max_version);
    if (suites != nullptr) SSL_CTX_set_ciphersuites(ctx_.get(), suites);
    if (leaf != nullptr) {
      SSL_CTX_use_certificate(ctx_.get(), leaf->certificate.get());
      SSL_CTX_use_PrivateKey(ctx_.get(), leaf->key.get());
      for (size_t i = 1; i < leaf->chain_der.size(); ++i) {
        SSL_CTX_add1_chain_cert(ctx_.get(),
                                spiffe::testing::CertificateFromDer(leaf->chain_der[i]).get());
      }
    }
    SSL_CTX_set_verify(ctx_.get(), role == Role::kServer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       [](int, X509_STORE_CTX*) { return 1; });
    SSL_CTX_set_alpn_select_cb(
        ctx_.get(),
        [](SSL*, const unsigned char** out, unsigned char* n, const unsigned char* in, unsigned,
           void*) {
          *out = in + 1;
          *n = in[0];
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
    theirs_.reset(SSL_new(ctx_.get()));
    SSL_set_fd(theirs_.get(), peer_fd_.fd());
    if (!alpn.empty()) {
      SSL_set_alpn_protos(theirs_.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                          static_cast<unsigned>(alpn.size()));
    }
    role == Role::kClient ? SSL_set_connect_state(theirs_.get())
                          : SSL_set_accept_state(theirs_.get());
  }

  // One turn of ours; what arrives is added to received_.
  IoResult Turn() {
    Buffer none;
    (void)ours_->Write(socket_, none, false);
    Buffer data;
    const IoResult result = ours_->Read(socket_, data, /*expect_end=*/true);
    received_ += data.ToString();
    (void)ours_->Write(socket_, none, false);
    return result;
  }

  // Until both are open, or ours fails. The last result of ours.
  IoResult Handshake() {
    IoResult result{IoStatus::kAgain};
    for (int i = 0; i < 50; ++i) {
      ERR_clear_error();
      (void)SSL_do_handshake(theirs_.get());
      result = Turn();
      if (result.status == IoStatus::kFailed) return result;
      if (ours_->open() && SSL_is_init_finished(theirs_.get())) return result;
    }
    return result;
  }

  void Ready(Role ours, const char* suites = nullptr) {
    const IssuedLeaf leaf = authority_.Issue(kTheirs);
    StartOurs(ours);
    StartTheirs(ours == Role::kClient ? Role::kServer : Role::kClient, &leaf, "\x02h2", 0, suites);
    Handshake();
    ASSERT_TRUE(ours_->open()) << ours_->Explain();
    ASSERT_EQ(ours_->peer()->id.ToString(), kTheirs);
  }

  std::string ReadTheirs() {
    std::string all;
    char part[16384];
    int n;
    while ((n = SSL_read(theirs_.get(), part, sizeof part)) > 0) {
      all.append(part, static_cast<size_t>(n));
    }
    return all;
  }

  // Sends `text` from ours and returns what theirs got.
  std::string Carry(const std::string& text) {
    Buffer data;
    data.Append(text);
    std::string all;
    for (int i = 0; i < 10000 && all.size() < text.size(); ++i) {
      EXPECT_NE(ours_->Write(socket_, data, false).status, IoStatus::kFailed);
      all += ReadTheirs();
    }
    return all;
  }

  TestAuthority authority_{"cluster.local"};
  PeerVerifier verifier_;
  net::Socket socket_;
  net::Socket peer_fd_;
  spiffe::SslCtxPtr ctx_;
  std::unique_ptr<TlsTransportSocket> ours_;
  spiffe::SslPtr theirs_;
  std::string received_;
  std::shared_ptr<const spiffe::BundleSet> bundles_;
  std::shared_ptr<const spiffe::DenyList> deny_;
};

TEST_F(TlsTransportSocketTest, SpeaksWithOpenSslInBothRolesAndAllSuites) {
  for (const Role role : {Role::kClient, Role::kServer}) {
    for (const char* suite :
         {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
      SCOPED_TRACE(suite);
      NewSockets();
      received_.clear();
      Ready(role, suite);
      std::string text(300'000, '\0');
      for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 7);
      EXPECT_TRUE(Carry(text) == text);
      size_t at = 0;
      while (at < text.size()) {
        const int n = SSL_write(theirs_.get(), text.data() + at,
                                static_cast<int>(std::min<size_t>(5000, text.size() - at)));
        if (n > 0) at += static_cast<size_t>(n);
        ASSERT_NE(Turn().status, IoStatus::kFailed);
      }
      EXPECT_TRUE(received_ == text);
    }
  }
}

TEST_F(TlsTransportSocketTest, KeyUpdatesAreFollowedAndAnswered) {
  Ready(Role::kServer);
  EXPECT_EQ(Carry("one"), "one");
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(SSL_key_update(theirs_.get(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(SSL_write(theirs_.get(), "new keys", 8), 8);
    received_.clear();
    Turn();
    EXPECT_EQ(received_, "new keys");
    EXPECT_EQ(Carry("answered under ours"), "answered under ours");
  }
}

TEST_F(TlsTransportSocketTest, AFloodOfKeyUpdatesEndsTheConnection) {
  Ready(Role::kServer);
  for (int i = 0; i < 1000; ++i) {
    SSL_key_update(theirs_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(theirs_.get());
    const IoResult result = Turn();
    if (result.status == IoStatus::kFailed) {
      EXPECT_EQ(result.reason, CloseReason::kTlsProtocol);
      return;
    }
  }
  FAIL() << "1000 updates without data were taken";
}

TEST_F(TlsTransportSocketTest, CloseNotifyEndsOneDirection) {
  Ready(Role::kClient);
  SSL_write(theirs_.get(), "bye", 3);
  SSL_shutdown(theirs_.get());
  EXPECT_EQ(Turn().status, IoStatus::kEnd);
  EXPECT_EQ(received_, "bye");
  // The other goes on until we end it too.
  Buffer data;
  data.Append("still here");
  EXPECT_EQ(ours_->Write(socket_, data, true).status, IoStatus::kDone);
  EXPECT_EQ(ReadTheirs(), "still here");
  EXPECT_EQ(SSL_get_shutdown(theirs_.get()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}

TEST_F(TlsTransportSocketTest, AnEndWithoutCloseNotifyIsTruncation) {
  Ready(Role::kClient);
  peer_fd_.Close();
  const IoResult result = Turn();
  EXPECT_EQ(result.status, IoStatus::kFailed);
  EXPECT_EQ(result.reason, CloseReason::kTlsTruncated);
}

TEST_F(TlsTransportSocketTest, AForgedRecordIsRefused) {
  Ready(Role::kServer);
  std::string record("\x17\x03\x03\x00\x20", 5);
  record += std::string(32, 'f');
  ASSERT_EQ(write(peer_fd_.fd(), record.data(), record.size()),
            static_cast<ssize_t>(record.size()));
  const IoResult result = Turn();
  EXPECT_EQ(result.status, IoStatus::kFailed);
  EXPECT_EQ(result.reason, CloseReason::kTlsProtocol);
  EXPECT_EQ(received_, "");
}

TEST_F(TlsTransportSocketTest, AnUnprotectedRecordAfterTheHandshakeIsRefused) {
  Ready(Role::kServer);
  ASSERT_EQ(write(peer_fd_.fd(), "\x15\x03\x03\x00\x02\x01\x00", 7), 7);
  EXPECT_EQ(Turn().status, IoStatus::kFailed);
}

TEST_F(TlsTransportSocketTest, PlaintextAndOldTlsHaveTheirOwnReasons) {
  StartOurs(Role::kServer);
  ASSERT_EQ(write(peer_fd_.fd(), "GET / HTTP/1.1\r\n\r\n", 18), 18);
  EXPECT_EQ(Turn().status, IoStatus::kFailed);
  EXPECT_EQ(ours_->FailureLabel(), "plaintext");

  StartOurs(Role::kServer);
  StartTheirs(Role::kClient, nullptr, "\x02h2", TLS1_2_VERSION);
  EXPECT_EQ(Handshake().status, IoStatus::kFailed);
  EXPECT_EQ(ours_->FailureLabel(), "version");
}

TEST_F(TlsTransportSocketTest, AnotherProtocolIsRefused) {
  const IssuedLeaf leaf = authority_.Issue(kTheirs);
  StartOurs(Role::kServer);
  StartTheirs(Role::kClient, &leaf, "\x08http/1.1");
  EXPECT_EQ(Handshake().status, IoStatus::kFailed);
  EXPECT_EQ(ours_->FailureLabel(), "alpn");
}

TEST_F(TlsTransportSocketTest, TheServersFirstCommonProtocolIsAgreedOn) {
  const IssuedLeaf leaf = authority_.Issue(kTheirs);
  const std::string first =
      "\x05"
      "first";
  const std::string second =
      "\x06"
      "second";
  for (const auto& [offered, agreed] :
       {std::pair<std::string, std::string>{second + first, "first"}, {second, "second"}}) {
    NewSockets();
    StartOurs(Role::kServer, kTheirs, {"first", "second"});
    StartTheirs(Role::kClient, &leaf, offered);
    Handshake();
    ASSERT_TRUE(ours_->open()) << ours_->Explain();
    EXPECT_EQ(ours_->alpn(), agreed);
  }
  NewSockets();
  StartOurs(Role::kClient, kTheirs, {"first", "second"});
  StartTheirs(Role::kServer, &leaf);  // takes the client's first
  Handshake();
  ASSERT_TRUE(ours_->open()) << ours_->Explain();
  EXPECT_EQ(ours_->alpn(), "first");
}

TEST_F(TlsTransportSocketTest, AClientWithoutCertificateIsRefused) {
  StartOurs(Role::kServer);
  StartTheirs(Role::kClient, nullptr);
  EXPECT_EQ(Handshake().status, IoStatus::kFailed);
  EXPECT_EQ(ours_->FailureLabel(), "no_certificate");
}

TEST_F(TlsTransportSocketTest, ServersMustHaveTheExpectedIdentity) {
  const IssuedLeaf leaf = authority_.Issue(kTheirs);
  StartOurs(Role::kClient, "spiffe://cluster.local/ns/default/sa/other");
  StartTheirs(Role::kServer, &leaf);
  EXPECT_EQ(Handshake().status, IoStatus::kFailed);
  EXPECT_EQ(ours_->FailureLabel(), "verify_unexpected_id");
  EXPECT_NE(ours_->Explain().find(kTheirs), std::string::npos);
}

TEST_F(TlsTransportSocketTest, EachBadCertificateHasItsReason) {
  const TestAuthority foreign("evil.example");
  const TestAuthority impostor("cluster.local");
  struct Case {
    const char* label;
    const TestAuthority* authority;
    LeafOptions options;
  };
  std::vector<Case> cases;
  LeafOptions good;
  good.uris = {kTheirs};
  cases.push_back({"verify_untrusted_chain", &impostor, good});
  LeafOptions other = good;
  other.uris = {"spiffe://evil.example/ns/default/sa/theirs"};
  cases.push_back({"verify_unknown_trust_domain", &foreign, other});
  LeafOptions expired = good;
  expired.not_before = absl::Now() - absl::Hours(2);
  expired.not_after = absl::Now() - absl::Hours(1);
  cases.push_back({"verify_expired", &authority_, expired});
  LeafOptions authority = good;
  authority.is_ca = true;
  cases.push_back({"verify_ca_certificate", &authority_, authority});
  LeafOptions two = good;
  two.uris.push_back("spiffe://cluster.local/ns/default/sa/second");
  cases.push_back({"verify_many_uri_sans", &authority_, two});
  LeafOptions none = good;
  none.uris.clear();
  none.dns_names = {"theirs.example"};
  cases.push_back({"verify_no_uri_san", &authority_, none});
  for (const Case& c : cases) {
    for (const Role role : {Role::kServer, Role::kClient}) {
      SCOPED_TRACE(c.label);
      NewSockets();
      const IssuedLeaf leaf = c.authority->Issue(c.options);
      StartOurs(role);
      StartTheirs(role == Role::kClient ? Role::kServer : Role::kClient, &leaf);
      const IoResult result = Handshake();
      EXPECT_EQ(result.status, IoStatus::kFailed);
      EXPECT_FALSE(ours_->open());
      EXPECT_EQ(ours_->FailureLabel(), c.label);
    }
  }
}

TEST_F(TlsTransportSocketTest, AVerifiedChainIsRemembered) {
  const IssuedLeaf leaf = authority_.Issue(kTheirs);
  for (int i = 0; i < 3; ++i) {
    NewSockets();
    auto secret = std::make_shared<identity::SecretSnapshot>();
    if (bundles_ == nullptr) {
      bundles_ = authority_.bundles();
      deny_ = std::make_shared<spiffe::DenyList>(1);
    }
    IssuedLeaf mine = authority_.Issue(kOurs);
    for (const std::string& der : mine.chain_der) {
      secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
    }
    secret->key = std::move(mine.key);
    secret->bundles = bundles_;
    secret->deny_list = deny_;
    auto context = TlsContext::Create(Role::kServer, secret);
    ASSERT_TRUE(context.ok());
    ours_ = std::make_unique<TlsTransportSocket>(
        TlsOptions{*context, "h2", {}, &verifier_, &event::Clock::Real()}, nullptr);
    StartTheirs(Role::kClient, &leaf);
    Handshake();
    ASSERT_TRUE(ours_->open());
  }
  EXPECT_EQ(verifier_.hits(), 2);
}

}  // namespace
}  // namespace countersign::tls
