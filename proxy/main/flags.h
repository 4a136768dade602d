// The proxy's flags, declared once: the parser, the environment variables, --help and FLAGS.md are
// all made from the same table.
#ifndef COUNTERSIGN_PROXY_MAIN_FLAGS_H_
#define COUNTERSIGN_PROXY_MAIN_FLAGS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proxy/access_log/format.h"
#include "proxy/server/options.h"

namespace countersign::main {

struct Settings {
  server::Options server;
  std::string log_level = "info";
  bool log_json = false;
  bool allow_core_dumps = false;
  // Of the access log; the two make its format together.
  access_log::LineFormat::Kind access_log_kind = access_log::LineFormat::Kind::kJson;
  std::vector<std::string> access_log_fields;
};

struct Flag {
  const char* name;   // without dashes; the environment variable is COUNTERSIGN_NAME
  const char* value;  // how the value is called in the documentation
  const char* fallback;
  const char* help;
  bool required = false;
  bool repeated = false;
  // Sets the value; errors say what a right one looks like.
  absl::Status (*set)(const std::string& value, Settings& settings);
};

const std::vector<Flag>& Flags();

// `COUNTERSIGN_JOIN_TOKEN_FILE` for `join-token-file`.
std::string EnvironmentName(const Flag& flag);

// FLAGS.md.
std::string RenderFlagsReference();

// What the arguments and the environment say; a flag wins over its variable. `--help` is
// Cancelled, with the text to print as the message.
absl::StatusOr<Settings> ParseFlags(const std::vector<std::string>& arguments,
                                    const std::function<const char*(const char*)>& environment);

}  // namespace countersign::main

#endif  // COUNTERSIGN_PROXY_MAIN_FLAGS_H_
