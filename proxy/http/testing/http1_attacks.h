// Requests in HTTP/1 that two servers on one path may read differently, or that no client sends.
#ifndef COUNTERSIGN_PROXY_HTTP_TESTING_HTTP1_ATTACKS_H_
#define COUNTERSIGN_PROXY_HTTP_TESTING_HTTP1_ATTACKS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace countersign::http::testing {

struct Http1Attack {
  std::string name;
  std::string text;
  uint16_t status;  // how it is to be refused
};

std::vector<Http1Attack> Http1Attacks();

}  // namespace countersign::http::testing

#endif  // COUNTERSIGN_PROXY_HTTP_TESTING_HTTP1_ATTACKS_H_
