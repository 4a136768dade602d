#include "proxy/http/testing/http1_attacks.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace countersign::http::testing {

namespace {

std::string Post(absl::string_view fields, absl::string_view body = "",
                 absl::string_view version = "1.1") {
  return absl::StrCat("POST / HTTP/", version, "\r\nHost: a\r\n", fields, "\r\n", body);
}

std::string Chunks(absl::string_view body) { return Post("Transfer-Encoding: chunked\r\n", body); }

std::string Get(absl::string_view fields) {
  return absl::StrCat("GET / HTTP/1.1\r\nHost: a\r\n", fields, "\r\n");
}

}  // namespace

std::vector<Http1Attack> Http1Attacks() {
  using std::string_literals::operator""s;
  const std::string last = "0\r\n\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  return {
      {"length and coding", Post("Content-Length: 5\r\n" + chunked, last), 400},
      {"coding and length", Post(chunked + "Content-Length: 5\r\n", last), 400},

      {"two lengths", Post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab"), 400},
      {"the same length twice", Post("Content-Length: 1\r\nContent-Length: 1\r\n", "a"), 400},
      {"a list of lengths", Post("Content-Length: 1, 1\r\n", "a"), 400},
      {"a signed length", Post("Content-Length: +1\r\n", "a"), 400},
      {"a negative length", Post("Content-Length: -1\r\n", "a"), 400},
      {"a hexadecimal length", Post("Content-Length: 0x1\r\n", "a"), 400},
      {"an empty length", Post("Content-Length: \r\n", "a"), 400},
      {"a length with a space in it", Post("Content-Length: 1 1\r\n", "a"), 400},
      {"an overflowing length", Post("Content-Length: 18446744073709551617\r\n", "a"), 400},

      {"xchunked", Post("Transfer-Encoding: xchunked\r\n", last), 400},
      {"a control byte before chunked",
       Post("Transfer-Encoding: \x0b"
            "chunked\r\n",
            last),
       400},
      {"chunked in quotes", Post("Transfer-Encoding: \"chunked\"\r\n", last), 400},
      {"chunked is not last", Post("Transfer-Encoding: chunked, identity\r\n", last), 400},
      {"chunked twice", Post("Transfer-Encoding: chunked, chunked\r\n", last), 400},
      {"two codings", Post(chunked + chunked, last), 400},
      {"an unknown coding", Post("Transfer-Encoding: gzip, chunked\r\n", last), 501},
      {"a space before the colon", Post("Transfer-Encoding : chunked\r\n", last), 400},
      {"a folded line", Post("Transfer-Encoding:\r\n chunked\r\n", last), 400},
      {"a folded value", Get("X: a\r\n b\r\n"), 400},
      {"a coding in HTTP/1.0", Post(chunked, last, "1.0"), 400},

      {"a chunk size with 0x", Chunks("0x5\r\nhello\r\n" + last), 400},
      {"a chunk size with _", Chunks("1_0\r\n0123456789abcdef\r\n" + last), 400},
      {"a chunk size with a sign", Chunks("+5\r\nhello\r\n" + last), 400},
      {"a chunk size after a space", Chunks(" 5\r\nhello\r\n" + last), 400},
      {"a chunk size before a space", Chunks("5 \r\nhello\r\n" + last), 400},
      {"no chunk size", Chunks("\r\nhello\r\n" + last), 400},
      {"an overflowing chunk size", Chunks("10000000000000005\r\nhello\r\n" + last), 400},
      {"a huge chunk size line", Chunks("5;" + std::string(100'000, 'x') + "\r\nhello\r\n" + last),
       400},
      {"a chunk longer than its size", Chunks("5\r\nhello!\r\n" + last), 400},

      {"a bare LF after a chunk size", Chunks("5\nhello\r\n" + last), 400},
      {"a bare LF after a chunk", Chunks("5\r\nhello\n" + last), 400},
      {"a bare CR after a chunk size", Chunks("5\rhello\r\n" + last), 400},
      {"a bare LF in a chunk extension", Chunks("5;a\nhello\r\n" + last), 400},
      {"a bare LF after the trailers", Chunks("0\r\n\n"), 400},
      {"a bare LF in the head", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
      {"bare LFs throughout", "GET / HTTP/1.1\nHost: a\n\n", 400},

      {"a NUL in a value", Get("X: a\0b\r\n"s), 400},
      {"a CR in a value", Get("X: a\rb\r\n"), 400},
      {"a control byte in a value",
       Get("X: a\x01"
           "b\r\n"),
       400},
      {"a DEL in a value",
       Get("X: a\x7f"
           "b\r\n"),
       400},
      {"a NUL in a name", Get("X\0: a\r\n"s), 400},
      {"a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s, 400},

      {"an empty name", Get(": a\r\n"), 400},
      {"an overlong name", Get(std::string(70'000, 'n') + ": a\r\n"), 400},
      {"a long name", Get(std::string(2'000, 'n') + ": a\r\n"), 400},
      {"a line without a colon", Get("hello\r\n"), 400},
      {"a space in a name", Get("X Y: a\r\n"), 400},
      {"a name in brackets", Get("(x): a\r\n"), 400},

      {"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two hosts", Get("Host: b\r\n"), 400},
      {"the same host twice", Get("Host: a\r\n"), 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"a host with userinfo", "GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400},
      {"a host that is a list", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"a target that disagrees with the host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a target of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"an asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT to another host", "CONNECT b:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400},
      {"CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 4\r\n\r\nbody",
       400},

      {"two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"an unfinished version", "GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
      {"no version", "GET /\r\nHost: a\r\n\r\n", 400},
      {"another protocol", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"a version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
      {"a version to come", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"white space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a method in brackets", "(GET) / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a field before the first", "GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400},
      {"an overlong target", "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n",
       414},
  };
}

}  // namespace countersign::http::testing
