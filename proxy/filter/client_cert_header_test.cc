#include "proxy/filter/client_cert_header.h"

#include "gtest/gtest.h"

namespace countersign::filter {
namespace {

using http::HeaderId;

spiffe::PeerSvid Peer() {
  spiffe::PeerSvid peer;
  peer.id = *spiffe::SpiffeId::Parse("spiffe://a.b/ns/x/sa/y");
  peer.digest = std::string("\x00\xab\xff", 3);
  peer.der = "0123456";
  return peer;
}

TEST(ClientCertHeaderTest, XfccHasEnvoysForm) {
  const spiffe::SpiffeId own = *spiffe::SpiffeId::Parse("spiffe://a.b/ns/z/sa/me");
  EXPECT_EQ(XfccOf(own, Peer()),
            "By=spiffe://a.b/ns/z/sa/me;Hash=00abff;Subject=\"\";URI=spiffe://a.b/ns/x/sa/y");
}

TEST(ClientCertHeaderTest, ClientCertIsAByteSequence) {
  EXPECT_EQ(ClientCertOf(Peer()), ":MDEyMzQ1Ng==:");
}

TEST(ClientCertHeaderTest, ClientCertChainIsAListOfTheIntermediates) {
  spiffe::PeerSvid peer = Peer();
  EXPECT_EQ(ClientCertChainOf(peer), "");
  peer.intermediates = {"abc"};
  EXPECT_EQ(ClientCertChainOf(peer), ":YWJj:");
  peer.intermediates = {"abc", "0123456", std::string("\0\xff", 2)};
  EXPECT_EQ(ClientCertChainOf(peer), ":YWJj:, :MDEyMzQ1Ng==:, :AP8=:");
}

TEST(ClientCertHeaderTest, ClaimsAreTakenAwayHoweverOftenTheyStand) {
  http::HeaderMap headers;
  headers.Add("x-forwarded-client-cert", "a");
  headers.Add("accept", "b");
  headers.Add("client-cert", "c");
  headers.Add("client-cert-chain", "d");
  headers.Add("x-forwarded-client-cert", "e");
  headers.Add("x-countersign-downstream-protocol", "HTTP/2");
  headers.Add("x-countersign-anything", "f");
  headers.Add("x-countersigned", "g");
  StripClaims(headers);
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.fields()[0].value, "b");
  EXPECT_EQ(headers.fields()[1].value, "g");
}

}  // namespace
}  // namespace countersign::filter
