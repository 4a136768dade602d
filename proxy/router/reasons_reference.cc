// Prints REASONS.md on standard output.
#include <cstdio>

#include "proxy/router/reasons.h"

int main() {
  std::fputs(countersign::router::RenderReasons().c_str(), stdout);
  return 0;
}
