// Prints METRICS.md on standard output.
#include <cstdio>

#include "proxy/stats/reference.h"

int main() {
  std::fputs(countersign::stats::RenderReference().c_str(), stdout);
  return 0;
}
