// grpc-echo-client ADDRESS SCENARIO...: runs scenarios against an Echo server and prints a line for
// each, `ok NAME` or `FAILED NAME: what was seen`; the exit code is non-zero if one failed.
//
//   grpc-echo-client ADDRESS spread CALLS                      who answered how many
//   grpc-echo-client ADDRESS call STATUS DELAY_MS DEADLINE_MS  the status of one call
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/grpc/echo_client.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    fputs(
        "usage: grpc-echo-client ADDRESS SCENARIO...|all|spread CALLS|call STATUS DELAY DEADLINE\n",
        stderr);
    return 2;
  }
  countersign::test::EchoClient client(argv[1]);
  if (strcmp(argv[2], "spread") == 0 && argc == 4) {
    puts(client.Spread(atoi(argv[3])).c_str());
    return 0;
  }
  if (strcmp(argv[2], "call") == 0 && argc == 6) {
    puts(client.Unary(atoi(argv[3]), atoi(argv[4]), atoi(argv[5])).c_str());
    return 0;
  }
  std::vector<std::string> scenarios(argv + 2, argv + argc);
  if (scenarios.front() == "all") {
    scenarios = {"unary",  "collect",  "expand", "converse", "deadline",
                 "status", "trailers", "large",  "cancel"};
  }
  bool failed = false;
  for (const std::string& scenario : scenarios) {
    const std::string seen = client.Run(scenario);
    printf(seen.empty() ? "ok %s\n" : "FAILED %s: %s\n", scenario.c_str(), seen.c_str());
    failed |= !seen.empty();
  }
  return failed ? 1 : 0;
}
