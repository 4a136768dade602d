// HTTP/2 from end to end, and across versions.
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proxy/server/worker_h2_fixture.h"

namespace countersign::server {
namespace {

using http::HeaderId;
using http::testing::Call;
using http::testing::Exchange;

TEST(WorkerHttp2Test, ManyStreamsShareAConnection) {
  Application application(H2Server([](Exchange& exchange) {
    exchange.Respond(200, exchange.method + " " + exchange.path + " " + exchange.headers);
  }));
  HttpPair pair(application.address());
  H2Client client(pair.Connect());
  std::vector<Call> calls(50);
  for (size_t i = 0; i < calls.size(); ++i) {
    client.Begin(calls[i], "GET", "/" + std::to_string(i), /*end=*/true);
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    ASSERT_TRUE(client.Run([&] { return calls[i].ends > 0; })) << i;
    EXPECT_EQ(calls[i].status, 200) << calls[i].body;
    EXPECT_EQ(calls[i].body.find("GET /" + std::to_string(i) + " "), 0u) << calls[i].body;
    EXPECT_NE(calls[i].body.find("x-forwarded-client-cert"), std::string::npos);
    EXPECT_EQ(calls[i].body.find("x-countersign"), std::string::npos);
  }
  EXPECT_NE(pair.ClientStats().find("protocol=\"HTTP/2\"} 1"), std::string::npos);
}

TEST(WorkerHttp2Test, AnApplicationOfHttp1IsReachedWhereThatIsDeclared) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1);
  H2Client client(pair.Connect());
  Call call;
  client.Begin(call, "GET", "/x", /*end=*/true);
  ASSERT_TRUE(client.Run([&] { return call.ends > 0; }));
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(call.body.find("GET /x HTTP/1.1"), 0u) << call.body;
}

TEST(WorkerHttp2Test, AnApplicationOfHttp2IsReachedFromHttp1) {
  Application application(
      H2Server([](Exchange& exchange) { exchange.Respond(200, "over " + exchange.path); }));
  HttpPair pair(application.address(), config::AppProtocol::kHttp2);
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
  HttpReader reader(fd);
  EXPECT_EQ(reader.Read().body, "over /x");
  close(fd);
}

TEST(WorkerHttp2Test, GrpcTrailersArriveAndAreCounted) {
  Application application(H2Server([](Exchange& exchange) {
    http::ResponseHead head;
    head.status = 200;
    head.headers.Add(HeaderId::kContentType, "application/grpc");
    exchange.stream->SendHeaders(head, /*end=*/false);
    buffer::Buffer message;
    message.Append(std::string("\0\0\0\0\3abc", 8));
    exchange.stream->SendData(message, /*end=*/false);
    http::HeaderMap trailers;
    trailers.Add(HeaderId::kGrpcStatus, "5");
    trailers.Add(HeaderId::kGrpcMessage, "no such thing");
    exchange.stream->SendTrailers(trailers);
  }));
  HttpPair pair(application.address(), config::AppProtocol::kHttp2);
  H2Client client(pair.Connect());
  Call call;
  client.Begin(call, "POST", "/svc/Method", /*end=*/false, [](http::RequestHead& head) {
    head.headers.Add(HeaderId::kContentType, "application/grpc");
    head.headers.Add(HeaderId::kTe, "trailers");
  });
  client.Send(call, std::string("\0\0\0\0\1x", 6), /*end=*/true);
  ASSERT_TRUE(client.Run([&] { return call.ends > 0; }));
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(call.body.substr(5), "abc");
  EXPECT_NE(call.trailers.find("grpc-status: 5"), std::string::npos) << call.trailers;
  EXPECT_NE(call.trailers.find("grpc-message: no such thing"), std::string::npos);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); }, "grpc_response_status=\"5\""));
}

// The value of the only series of `family`.
std::string ValueOf(const std::string& page, const std::string& family) {
  const size_t at = page.find("\n" + family + "{");
  if (at == std::string::npos) return "none";
  const size_t end = page.find('\n', at + 1);
  const size_t value = page.rfind(' ', end) + 1;
  return page.substr(value, end - value);
}

TEST(WorkerHttp2Test, GrpcMessagesAreCountedAtBothSidesWhileTheCallGoesOn) {
  const std::string message("\0\0\0\0\3abc", 8);
  // Answers every second message, with one of its own.
  Application application(H2Server([&message](Exchange& exchange) {
    http::ResponseHead head;
    head.status = 200;
    head.headers.Add(HeaderId::kContentType, "application/grpc+proto");
    exchange.stream->SendHeaders(head, /*end=*/false);
    exchange.on_data = [&message](Exchange& call) {
      if (call.body.size() % (2 * message.size()) != 0) return;
      buffer::Buffer answer;
      answer.Append(message);
      call.stream->SendData(answer, /*end=*/false);
    };
  }));
  HttpPair pair(application.address(), config::AppProtocol::kHttp2);
  H2Client client(pair.Connect());
  Call call;
  client.Begin(call, "POST", "/svc/Method", /*end=*/false, [](http::RequestHead& head) {
    head.headers.Add(HeaderId::kContentType, "application/grpc");
  });
  for (int i = 1; i <= 3; ++i) {
    // The first half ends in the first message's prefix.
    client.Send(call, message.substr(0, 3), /*end=*/false);
    client.Send(call, message.substr(3) + message, /*end=*/false);
    ASSERT_TRUE(client.Run([&] { return call.body.size() == i * message.size(); }));
    for (const auto& side : {std::function([&] { return pair.ClientStats(); }),
                             std::function([&] { return pair.ServerStats(); })}) {
      EXPECT_TRUE(Eventually([&] { return ValueOf(side(), "countersign_request_messages_total"); },
                             std::to_string(2 * i)));
      EXPECT_TRUE(Eventually([&] { return ValueOf(side(), "countersign_response_messages_total"); },
                             std::to_string(i)));
    }
  }
  call.stream->Reset();
  call.stream = nullptr;
  PumpOut(client.codec(), client.fd());
  ASSERT_TRUE(Eventually([&] { return pair.ClientStats(); }, "response_flags=\"DC\""));
  EXPECT_EQ(ValueOf(pair.ClientStats(), "countersign_request_messages_total"), "6");
}

TEST(WorkerHttp2Test, WhatOnlyLooksLikeGrpcsMessagesIsNotCounted) {
  const std::string message("\0\0\0\0\3abc", 8);
  Application application(H2Server([&message](Exchange& exchange) {
    exchange.on_data = [&message](Exchange& call) {
      if (call.complete) call.Respond(200, message);
    };
  }));
  HttpPair pair(application.address(), config::AppProtocol::kHttp2);
  H2Client client(pair.Connect());
  // A call whose answer is none of gRPC's, and requests of other types.
  for (const char* type : {"application/json", "application/grpc-web", "application/grpc"}) {
    Call call;
    client.Begin(call, "POST", "/svc/Method", /*end=*/false, [type](http::RequestHead& head) {
      head.headers.Add(HeaderId::kContentType, type);
    });
    client.Send(call, message, /*end=*/true);
    ASSERT_TRUE(client.Run([&] { return call.ends > 0; }));
    EXPECT_EQ(call.body, message);
  }
  for (const auto& side : {std::function([&] { return pair.ClientStats(); }),
                           std::function([&] { return pair.ServerStats(); })}) {
    EXPECT_TRUE(Eventually([&] { return side(); }, "request_protocol=\"grpc\""));
    EXPECT_EQ(ValueOf(side(), "countersign_request_messages_total"), "1");
    EXPECT_EQ(ValueOf(side(), "countersign_response_messages_total"), "0");
  }
}

TEST(WorkerHttp2Test, GrpcHearsOfRefusalsInTrailers) {
  const net::Address nobody = Local(FreePort());
  HttpPair pair(nobody, config::AppProtocol::kHttp2);
  H2Client client(pair.Connect());
  Call call;
  client.Begin(call, "POST", "/svc/Method", /*end=*/true, [](http::RequestHead& head) {
    head.headers.Add(HeaderId::kContentType, "application/grpc");
  });
  ASSERT_TRUE(client.Run([&] { return call.ends > 0; }));
  EXPECT_EQ(call.status, 200);
  EXPECT_NE(call.headers.find("grpc-status: 14"), std::string::npos) << call.headers;
  EXPECT_EQ(call.body, "");
}

TEST(WorkerHttp2Test, AStreamThatTheClientResetsIsCancelledAlone) {
  std::atomic<int> ended{0};
  Application application([&](int fd) {
    http::testing::ServerRecorder recorder;
    recorder.on_request = [](Exchange& exchange) {
      if (exchange.path == "/fast") exchange.Respond(200, "fast");
    };
    http::h2::H2ServerCodec codec(recorder, http::CodecLimits());
    if (PumpOut(codec, fd)) {
      while (PumpIn(codec, fd)) {
        int now = 0;
        for (const auto& exchange : recorder.requests) now += exchange->stream == nullptr ? 1 : 0;
        ended = now;
      }
    }
    close(fd);
  });
  HttpPair pair(application.address());
  H2Client client(pair.Connect());
  Call slow;
  Call fast;
  client.Begin(slow, "GET", "/slow", /*end=*/true);
  client.Begin(fast, "GET", "/fast", /*end=*/true);
  ASSERT_TRUE(client.Run([&] { return fast.ends > 0; }));
  slow.stream->Reset();
  slow.stream = nullptr;
  PumpOut(client.codec(), client.fd());
  Call again;
  client.Begin(again, "GET", "/fast", /*end=*/true);
  ASSERT_TRUE(client.Run([&] { return again.ends > 0; }));
  EXPECT_EQ(again.body, "fast");
  EXPECT_TRUE(Eventually([&] { return std::to_string(ended); }, "3"));
  EXPECT_TRUE(Eventually([&] { return pair.ClientStats(); }, "response_flags=\"DC\""));
}

}  // namespace
}  // namespace countersign::server
