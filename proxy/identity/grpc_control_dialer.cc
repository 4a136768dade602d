#include "proxy/identity/grpc_control_dialer.h"

#include <grpc/grpc_security.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/net/address.h"
#include "api/spiffe/verifier.h"

namespace countersign::identity {
namespace {

// Larger than any answer that a well-behaved control plane sends: a hostile one must not be able to
// make us allocate more.
constexpr int kMaxMessageBytes = 4 * 1024 * 1024;
constexpr int kConnectTimeoutMs = 10'000;
// A control plane that vanished without a FIN is noticed after this long.
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;

void Wipe(std::string* secret) {
  OPENSSL_cleanse(secret->data(), secret->size());
  secret->clear();
}

// PEM, as gRPC wants it, of whatever `write` prints.
template <typename Write>
std::string Pem(Write write) {
  // A secure-heap BIO would be no gain: gRPC copies the string to the ordinary heap anyway.
  spiffe::BioPtr bio(BIO_new(BIO_s_mem()));
  std::string pem;
  if (bio != nullptr && write(bio.get())) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    pem.assign(data, size);
    OPENSSL_cleanse(data, size);
  }
  return pem;
}

std::string RootsPem(const spiffe::BundleSet& bundles, absl::string_view trust_domain) {
  return Pem([&](BIO* bio) {
    for (const spiffe::BundleSet::Bundle& bundle : bundles.bundles()) {
      if (bundle.trust_domain != trust_domain) {
        continue;
      }
      for (const std::string& der : bundle.authorities_der) {
        if (PEM_write_bio(bio, "CERTIFICATE", "", reinterpret_cast<const uint8_t*>(der.data()),
                          static_cast<long>(der.size())) <= 0) {
          return false;
        }
      }
    }
    return true;
  });
}

// The control plane is known by its SPIFFE ID, not by a host name (SPIFFE-ID standard, section 3):
// gRPC has checked the chain against the roots when this runs; this repeats it with the SPIFFE
// rules.
class SpiffeServerVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit SpiffeServerVerifier(const ControlStreamParams& params)
      : control_id_(params.control_id),
        bundles_(params.bundles),
        deny_list_(params.deny_list != nullptr ? params.deny_list
                                               : std::make_shared<const spiffe::DenyList>()) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>, grpc::Status* sync_status) override {
    *sync_status = Check(request->peer_cert_full_chain());
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  grpc::Status Check(grpc::string_ref pem) const {
    spiffe::X509Ptr leaf;
    struct FreeStack {
      void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
    };
    std::unique_ptr<STACK_OF(X509), FreeStack> chain(sk_X509_new_null());
    spiffe::BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    while (bio != nullptr && sk_X509_num(chain.get()) <= spiffe::kMaxChain) {
      spiffe::X509Ptr cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
      if (cert == nullptr) {
        break;
      }
      if (leaf == nullptr) {
        leaf = std::move(cert);
      } else {
        sk_X509_push(chain.get(), cert.release());
      }
    }
    ERR_clear_error();
    if (leaf == nullptr) {
      return Refuse(spiffe::VerifyError::kNoCertificate, "");
    }
    spiffe::PeerSvid svid;
    const spiffe::VerifyError error =
        spiffe::Verify(leaf.get(), chain.get(), *bundles_, *deny_list_, absl::Now(), &svid);
    if (error != spiffe::VerifyError::kNone) {
      return Refuse(error, svid.id.ToString());
    }
    if (!(svid.id == control_id_)) {
      return Refuse(spiffe::VerifyError::kUnexpectedId, svid.id.ToString());
    }
    return grpc::Status::OK;
  }

  grpc::Status Refuse(spiffe::VerifyError error, const std::string& presented) const {
    return grpc::Status(
        grpc::StatusCode::UNAUTHENTICATED,
        absl::StrCat("the control plane must prove to be ", control_id_.ToString(),
                     presented.empty() ? "" : absl::StrCat(", but presented ", presented), ": ",
                     spiffe::VerifyErrorSentence(error)));
  }

  const spiffe::SpiffeId control_id_;
  const std::shared_ptr<const spiffe::BundleSet> bundles_;
  const std::shared_ptr<const spiffe::DenyList> deny_list_;
};

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(const ControlStreamParams& params) {
  std::vector<grpc::experimental::IdentityKeyCertPair> pairs;
  if (params.client != nullptr) {
    grpc::experimental::IdentityKeyCertPair& pair = pairs.emplace_back();
    pair.private_key = Pem([&](BIO* bio) {
      return PEM_write_bio_PrivateKey(bio, params.client->key.get(), nullptr, nullptr, 0, nullptr,
                                      nullptr) == 1;
    });
    pair.certificate_chain = Pem([&](BIO* bio) {
      for (const spiffe::X509Ptr& cert : params.client->chain) {
        if (PEM_write_bio_X509(bio, cert.get()) != 1) {
          return false;
        }
      }
      return true;
    });
  }
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
          RootsPem(*params.bundles, params.control_id.trust_domain()), pairs));
  for (grpc::experimental::IdentityKeyCertPair& pair : pairs) {
    Wipe(&pair.private_key);
  }
  options.watch_root_certs();
  if (!pairs.empty()) {
    options.watch_identity_key_cert_pairs();
  }
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<SpiffeServerVerifier>(params));
  options.set_check_call_host(false);
  options.set_verify_server_certs(true);
  return grpc::experimental::TlsCredentials(options);
}

std::string GrpcTarget(const std::string& target) {
  absl::StatusOr<net::Address> address = net::Address::Parse(target);
  if (!address.ok()) {
    return absl::StrCat("dns:///", target);
  }
  return absl::StrCat(address->ip().is_v4() ? "ipv4:" : "ipv6:", address->ToString());
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target,
                                           const ControlStreamParams& params) {
  grpc::ChannelArguments arguments;
  // Another stream's connection must not be reused: it may have presented another certificate.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, kMaxMessageBytes);
  // Its certificate carries this name beside the SPIFFE ID, which is what is verified; without it
  // gRPC complains of every address that is dialled by number.
  arguments.SetSslTargetNameOverride("countersign-control");
  // The control stream carries little: small windows instead of the estimator's large ones.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return grpc::CreateCustomChannel(GrpcTarget(target), MakeCredentials(params), arguments);
}

}  // namespace

// The completion queue and the thread that waits for it. Every tag is a function that is run once.
class GrpcControlDialer::Queue {
 public:
  class Tag {
   public:
    virtual ~Tag() = default;
    virtual void OnEvent(bool ok) = 0;
  };

  Queue() : thread_([this] { Run(); }) {}

  // Waits for the calls to end (all are cancelled by now): gRPC aborts on an operation that is
  // begun after Shutdown, and the end of a call is one.
  ~Queue() {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      idle_.wait(lock, [this] { return calls_ == 0; });
    }
    queue_.Shutdown();
    thread_.join();
  }

  grpc::CompletionQueue* queue() { return &queue_; }

  // Called by the thread that made a tag, and again by the one that takes it out of the queue: gRPC
  // orders the two with atomics inside Debian's library, where TSan sees nothing. A lock that is
  // hardly ever contended, on streams with a message a minute.
  void HandOver() { std::lock_guard<std::mutex> lock(mutex_); }

  void CallBegins() {
    std::lock_guard<std::mutex> lock(mutex_);
    ++calls_;
  }
  void CallEnds() {
    std::lock_guard<std::mutex> lock(mutex_);
    --calls_;
    idle_.notify_all();
  }

 private:
  void Run() {
    pthread_setname_np(pthread_self(), "control-stream");
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      HandOver();
      static_cast<Tag*>(tag)->OnEvent(ok);
    }
  }

  grpc::CompletionQueue queue_;
  std::mutex mutex_;
  std::condition_variable idle_;
  int calls_ = 0;
  std::thread thread_;
};

// One gRPC call. Lives until gRPC has handed back its last tag, however long the stream above is
// gone: each outstanding operation holds a reference.
class GrpcControlDialer::Call : public std::enable_shared_from_this<Call> {
 public:
  Call(Queue& queue, Post post, ControlStream::Handler& handler)
      : queue_(queue), post_(std::move(post)), handler_(&handler) {}

  void Start(const std::string& target, const ControlStreamParams& params) {
    channel_ = MakeChannel(target, params);
    stub_.emplace(channel_);
    queue_.CallBegins();
    reader_writer_ = stub_->PrepareCall(&context_, params.method, queue_.queue());
    reader_writer_->StartCall(NewTag([this](bool ok) { OnStarted(ok); }));
  }

  void Send(std::string message) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (finishing_) {
      Wipe(&message);
      return;
    }
    pending_.push_back(std::move(message));
    WriteNext();
  }

  // Main thread: nothing reaches the handler from here on.
  void Abandon() {
    handler_ = nullptr;
    context_.TryCancel();
  }

 private:
  template <typename Function>
  class FunctionTag final : public Queue::Tag {
   public:
    FunctionTag(std::shared_ptr<Call> call, Function function)
        : call_(std::move(call)), function_(std::move(function)) {}
    void OnEvent(bool ok) override {
      function_(ok);
      delete this;
    }

   private:
    std::shared_ptr<Call> call_;
    Function function_;
  };

  template <typename Function>
  void* NewTag(Function function) {
    Queue::Tag* tag = new FunctionTag<Function>(shared_from_this(), std::move(function));
    queue_.HandOver();
    return tag;
  }

  void OnStarted(bool ok) {
    std::lock_guard<std::mutex> lock(mutex_);
    started_ = true;
    if (!ok) {
      Finish();
      return;
    }
    Read();
    WriteNext();
  }

  void Read() {
    reader_writer_->Read(&incoming_, NewTag([this](bool ok) { OnRead(ok); }));
  }

  void OnRead(bool ok) {
    if (!ok) {
      std::lock_guard<std::mutex> lock(mutex_);
      Finish();
      return;
    }
    auto message = std::make_shared<std::string>();
    std::vector<grpc::Slice> slices;
    if (incoming_.Dump(&slices).ok()) {
      for (const grpc::Slice& slice : slices) {
        message->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      }
    }
    incoming_.Clear();
    post_([self = shared_from_this(), message] {
      if (self->handler_ != nullptr) {
        self->handler_->OnMessage(*message);
      }
    });
    std::lock_guard<std::mutex> lock(mutex_);
    if (!finishing_) {
      Read();
    }
  }

  // With the lock held.
  void WriteNext() {
    if (!started_ || writing_ || finishing_ || pending_.empty()) {
      return;
    }
    writing_ = true;
    grpc::Slice slice(pending_.front());
    Wipe(&pending_.front());
    pending_.pop_front();
    reader_writer_->Write(grpc::ByteBuffer(&slice, 1), NewTag([this](bool ok) { OnWritten(ok); }));
  }

  void OnWritten(bool ok) {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    if (ok) {
      WriteNext();
    }  // otherwise the pending read fails too, and ends the call
  }

  // With the lock held.
  void Finish() {
    if (finishing_) {
      return;
    }
    finishing_ = true;
    for (std::string& message : pending_) {
      Wipe(&message);
    }
    pending_.clear();
    reader_writer_->Finish(&status_, NewTag([this](bool) { OnFinished(); }));
  }

  absl::Status ClosingStatus() const {
    if (status_.ok()) {
      return absl::UnavailableError("the control plane ended the stream");
    }
    std::string message = status_.error_message();
    // What OpenSSL says of a chain to another root does not help anybody.
    if (absl::StrContains(message, "Tls handshake failed")) {
      message +=
          "; is this the control plane, and does its certificate chain to the trust bundle? "
          "If its authority was made anew, copy bundle.pem from its state folder again";
    }
    return absl::Status(static_cast<absl::StatusCode>(status_.error_code()), message);
  }

  void OnFinished() {
    const absl::Status status = ClosingStatus();
    post_([self = shared_from_this(), status] {
      if (ControlStream::Handler* handler = std::exchange(self->handler_, nullptr)) {
        handler->OnClosed(status);
      }
    });
    queue_.CallEnds();
  }

  Queue& queue_;
  const Post post_;
  ControlStream::Handler* handler_;  // main thread; null once abandoned or closed

  std::shared_ptr<grpc::Channel> channel_;
  std::optional<grpc::GenericStub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> reader_writer_;
  grpc::ByteBuffer incoming_;  // of the one outstanding read
  grpc::Status status_;

  std::mutex mutex_;
  std::deque<std::string> pending_;
  bool started_ = false;
  bool writing_ = false;
  bool finishing_ = false;
};

class GrpcControlDialer::Stream final : public ControlStream {
 public:
  explicit Stream(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~Stream() override { call_->Abandon(); }
  void Send(std::string message) override { call_->Send(std::move(message)); }

 private:
  const std::shared_ptr<Call> call_;
};

GrpcControlDialer::GrpcControlDialer(std::string target, Post post)
    : target_(std::move(target)), post_(std::move(post)), queue_(std::make_unique<Queue>()) {}

GrpcControlDialer::~GrpcControlDialer() = default;

std::unique_ptr<ControlStream> GrpcControlDialer::Open(const ControlStreamParams& params,
                                                       ControlStream::Handler& handler) {
  auto call = std::make_shared<Call>(*queue_, post_, handler);
  call->Start(target_, params);
  return std::make_unique<Stream>(std::move(call));
}

}  // namespace countersign::identity
