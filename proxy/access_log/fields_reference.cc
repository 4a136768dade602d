// Prints FIELDS.md on standard output.
#include <cstdio>

#include "proxy/access_log/format.h"

int main() {
  std::fputs(countersign::access_log::RenderReference().c_str(), stdout);
  return 0;
}
