#include "proxy/identity/grpc_control_dialer.h"

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/identity/v1/identity.grpc.pb.h"
#include "api/spiffe/testing/test_authority.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::identity {
namespace {

using spiffe::testing::IssuedLeaf;
using spiffe::testing::TestAuthority;
using ::testing::HasSubstr;

constexpr char kControl[] = "spiffe://mesh.test/countersign/control";
constexpr char kMethod[] = "/countersign.identity.v1.IdentityService/StreamIdentity";

// Echoes request ids as correlation ids, and says whether a client certificate came.
class EchoService final : public v1::IdentityService::Service {
 public:
  grpc::Status StreamIdentity(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::IdentityResponse, v1::IdentityRequest>* stream) override {
    v1::IdentityRequest request;
    while (stream->Read(&request)) {
      if (request.request_id() == "end") {
        return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "enough");
      }
      v1::IdentityResponse response;
      response.set_request_id(request.request_id());
      const auto certificates = context->auth_context()->FindPropertyValues("x509_pem_cert");
      response.set_correlation_id(certificates.empty() ? "anonymous" : "certified");
      stream->Write(response);
    }
    return grpc::Status::OK;
  }
};

// The main loop of these tests: runs posted functions on the test's thread.
class PostQueue {
 public:
  void Post(std::function<void()> call) {
    std::lock_guard<std::mutex> lock(mutex_);
    calls_.push_back(std::move(call));
    ready_.notify_all();
  }
  void RunUntil(const std::function<bool()>& done) {
    while (!done()) {
      std::function<void()> call;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        ASSERT_TRUE(
            ready_.wait_for(lock, std::chrono::seconds(20), [this] { return !calls_.empty(); }));
        call = std::move(calls_.front());
        calls_.pop_front();
      }
      call();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> calls_;
};

class GrpcControlDialerTest : public ::testing::Test, public ControlStream::Handler {
 protected:
  GrpcControlDialerTest() : authority_("mesh.test") {}

  void Serve(const IssuedLeaf& leaf) {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
    options.pem_key_cert_pairs.push_back({leaf.key_pem, leaf.chain_pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    dialer_.emplace(absl::StrCat("127.0.0.1:", port_),
                    [this](std::function<void()> call) { main_.Post(std::move(call)); });
  }

  ControlStreamParams Params() const {
    return {.method = kMethod,
            .control_id = *spiffe::SpiffeId::Parse(kControl),
            .bundles = authority_.bundles(),
            .deny_list = nullptr,
            .client = nullptr};
  }

  static std::string Request(const std::string& id) {
    v1::IdentityRequest request;
    request.set_request_id(id);
    return request.SerializeAsString();
  }

  void OnMessage(const std::string& message) override {
    ASSERT_TRUE(responses_.emplace_back().ParseFromString(message));
  }
  void OnClosed(const absl::Status& status) override { closed_ = status; }

  std::string WhyRefused() {
    stream_ = dialer_->Open(Params(), *this);
    stream_->Send(Request("1"));
    main_.RunUntil([this] { return closed_.has_value() || !responses_.empty(); });
    EXPECT_TRUE(responses_.empty());
    EXPECT_EQ(closed_->code(), absl::StatusCode::kUnavailable);
    return std::string(closed_->message());
  }

  TestAuthority authority_;
  EchoService service_;
  PostQueue main_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::optional<GrpcControlDialer> dialer_;
  std::unique_ptr<ControlStream> stream_;
  std::vector<v1::IdentityResponse> responses_;
  std::optional<absl::Status> closed_;
};

TEST_F(GrpcControlDialerTest, MessagesGoBothWaysInOrder) {
  Serve(authority_.Intermediate().Issue(kControl));
  stream_ = dialer_->Open(Params(), *this);
  for (int i = 0; i < 20; ++i) {
    stream_->Send(Request(absl::StrCat("r", i)));
  }
  main_.RunUntil([this] { return responses_.size() == 20; });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(responses_[i].request_id(), absl::StrCat("r", i));
    EXPECT_EQ(responses_[i].correlation_id(), "anonymous");
  }
  EXPECT_FALSE(closed_.has_value());
}

TEST_F(GrpcControlDialerTest, PresentsItsCertificateWhenItHasOne) {
  Serve(authority_.Issue(kControl));
  IssuedLeaf web = authority_.Issue("spiffe://mesh.test/ns/shop/sa/web");
  auto secret = std::make_shared<SecretSnapshot>();
  secret->chain.push_back(std::move(web.certificate));
  secret->key = std::move(web.key);
  ControlStreamParams params = Params();
  params.client = secret;
  stream_ = dialer_->Open(params, *this);
  stream_->Send(Request("1"));
  main_.RunUntil([this] { return !responses_.empty(); });
  EXPECT_EQ(responses_[0].correlation_id(), "certified");
}

TEST_F(GrpcControlDialerTest, TheEndOfTheStreamBringsItsStatus) {
  Serve(authority_.Issue(kControl));
  stream_ = dialer_->Open(Params(), *this);
  stream_->Send(Request("end"));
  main_.RunUntil([this] { return closed_.has_value(); });
  EXPECT_EQ(closed_->code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(closed_->message(), "enough");
}

TEST_F(GrpcControlDialerTest, AnotherIdentityOfOurTrustDomainIsRefused) {
  Serve(authority_.Issue("spiffe://mesh.test/ns/shop/sa/web"));
  const std::string why = WhyRefused();
  EXPECT_THAT(why, HasSubstr("must prove to be spiffe://mesh.test/countersign/control"));
  EXPECT_THAT(why, HasSubstr("presented spiffe://mesh.test/ns/shop/sa/web"));
}

TEST_F(GrpcControlDialerTest, TheRightNameFromAnotherRootIsRefused) {
  Serve(TestAuthority("mesh.test").Issue(kControl));
  EXPECT_THAT(WhyRefused(), HasSubstr("does its certificate chain to the trust bundle?"));
}

TEST_F(GrpcControlDialerTest, AnExpiredCertificateIsRefused) {
  spiffe::testing::LeafOptions leaf;
  leaf.uris = {kControl};
  leaf.not_before = absl::Now() - absl::Hours(2);
  leaf.not_after = absl::Now() - absl::Hours(1);
  Serve(authority_.Issue(leaf));
  WhyRefused();
}

TEST_F(GrpcControlDialerTest, TwoUriSansAreRefused) {
  spiffe::testing::LeafOptions leaf;
  leaf.uris = {kControl, "spiffe://mesh.test/other"};
  Serve(authority_.Issue(leaf));
  WhyRefused();
}

TEST_F(GrpcControlDialerTest, NobodyListening) {
  Serve(authority_.Issue(kControl));
  server_->Shutdown();
  server_.reset();
  WhyRefused();
}

TEST_F(GrpcControlDialerTest, ADestroyedStreamIsSilent) {
  Serve(authority_.Issue(kControl));
  stream_ = dialer_->Open(Params(), *this);
  stream_->Send(Request("1"));
  stream_.reset();
  auto second = dialer_->Open(Params(), *this);
  second->Send(Request("2"));
  main_.RunUntil([this] { return !responses_.empty(); });
  EXPECT_EQ(responses_[0].request_id(), "2");
  EXPECT_FALSE(closed_.has_value());
}

}  // namespace
}  // namespace countersign::identity
