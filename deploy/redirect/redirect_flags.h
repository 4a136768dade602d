// The command line of countersign-redirect.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_REDIRECT_FLAGS_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_REDIRECT_FLAGS_H_

#include <string>

#include "CLI/CLI.hpp"
#include "deploy/redirect/options.h"

namespace countersign::redirect {

struct RedirectFlags {
  RawOptions rules;
  std::string backend = "auto";
  std::string ipv6 = "auto";
  bool dry_run = false;
  bool cleanup = false;
};

// Declares every flag once, with its help and its environment variable. `flags` outlives `app`.
void AddFlags(CLI::App* app, RedirectFlags* flags);

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_REDIRECT_FLAGS_H_
