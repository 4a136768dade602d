// Prints FIELDS.md on standard output.
#include <cstdio>

#include "proxy/access_log/access_log.h"

int main() {
  std::fputs(countersign::access_log::AccessLog::RenderReference().c_str(), stdout);
  return 0;
}
