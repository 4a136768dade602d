// Why the parser is our own: what the two well-kept ones let through of what two servers on one
// path may read differently. proxy/http/README.md gives the numbers that are checked here.
#include <http_parser.h>

#include <boost/beast/http.hpp>
#include <cstdio>
#include <string>

#include "gtest/gtest.h"
#include "proxy/http/h1/h1_server_codec.h"
#include "proxy/http/testing/http1_attacks.h"
#include "proxy/http/testing/recorders.h"

namespace countersign::http::h1 {
namespace {

bool OursTakes(const std::string& text) {
  testing::ServerRecorder requests;
  H1ServerCodec codec(requests, {});
  testing::Feed(codec, text);
  return codec.error().empty();
}

bool HttpParserTakes(const std::string& text) {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  http_parser parser;
  http_parser_init(&parser, HTTP_REQUEST);
  http_parser_execute(&parser, &settings, text.data(), text.size());
  return HTTP_PARSER_ERRNO(&parser) == HPE_OK;
}

bool BeastTakes(const std::string& text) {
  namespace beast = boost::beast;
  beast::http::request_parser<beast::http::string_body> parser;
  parser.eager(true);
  size_t at = 0;
  while (at < text.size() && !parser.is_done()) {
    beast::error_code error;
    const size_t used = parser.put(boost::asio::buffer(text.data() + at, text.size() - at), error);
    at += used;
    if (error == beast::http::error::need_more) return true;
    if (error) return false;
    if (used == 0) break;
  }
  return true;
}

TEST(ParserComparisonTest, OursRefusesWhatTheLibrariesLetThrough) {
  int ours = 0;
  int http_parser = 0;
  int beast = 0;
  const auto attacks = testing::Http1Attacks();
  for (const auto& attack : attacks) {
    const bool first = OursTakes(attack.text);
    const bool second = HttpParserTakes(attack.text);
    const bool third = BeastTakes(attack.text);
    std::printf("%-45s ours %s  http-parser %s  Beast %s\n", attack.name.c_str(),
                first ? "TAKES  " : "refuses", second ? "TAKES  " : "refuses",
                third ? "TAKES  " : "refuses");
    ours += first;
    http_parser += second;
    beast += third;
  }
  std::printf("taken, of %zu: ours %d, http-parser %d, Beast %d\n", attacks.size(), ours,
              http_parser, beast);
  EXPECT_EQ(ours, 0);
  EXPECT_EQ(http_parser, 33);
  EXPECT_EQ(beast, 28);
}

}  // namespace
}  // namespace countersign::http::h1
