// Runs one program to its end.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_COMMAND_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace countersign::redirect {

struct CommandResult {
  int exit_code = 0;   // 128 + signal where a signal ended it
  std::string output;  // standard output
  std::string error;   // standard error
};

// Looks `argv[0]` up in PATH, gives it `input` as standard input and waits for its end. NotFound
// where the program is not installed; any other status means that it could not be started.
absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const std::string& input);

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_COMMAND_H_
