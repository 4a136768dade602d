// Prints FLAGS.md on standard output.
#include <cstdio>

#include "proxy/main/flags.h"

int main() {
  std::fputs(countersign::main::RenderFlagsReference().c_str(), stdout);
  return 0;
}
