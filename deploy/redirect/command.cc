#include "deploy/redirect/command.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace countersign::redirect {
namespace {

// An unnamed file in memory or on disk: no pipe that could fill up while the other end waits.
class ScratchFile {
 public:
  ScratchFile() : file_(tmpfile()) {}
  ~ScratchFile() {
    if (file_ != nullptr) fclose(file_);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  bool ok() const { return file_ != nullptr; }
  int fd() const { return fileno(file_); }
  bool Write(const std::string& text) {
    return fwrite(text.data(), 1, text.size(), file_) == text.size() && fflush(file_) == 0 &&
           lseek(fd(), 0, SEEK_SET) == 0;
  }
  std::string Read() {
    std::string text;
    if (lseek(fd(), 0, SEEK_SET) != 0) return text;
    char chunk[4096];
    for (ssize_t n; (n = read(fd(), chunk, sizeof chunk)) > 0;) text.append(chunk, n);
    return text;
  }

 private:
  FILE* file_;
};

}  // namespace

absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const std::string& input) {
  ScratchFile in, out, err;
  if (!in.ok() || !out.ok() || !err.ok() || !in.Write(input)) {
    return absl::InternalError(absl::StrCat("no temporary file to run ", argv[0],
                                            " with: ", strerror(errno), "; is /tmp writable?"));
  }
  std::vector<char*> args;
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.fd(), 0);
  posix_spawn_file_actions_adddup2(&actions, out.fd(), 1);
  posix_spawn_file_actions_adddup2(&actions, err.fd(), 2);
  pid_t pid = 0;
  const int failure = posix_spawnp(&pid, args[0], &actions, nullptr, args.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failure == ENOENT) {
    return absl::NotFoundError(absl::StrCat(argv[0], " is not installed"));
  }
  if (failure != 0) {
    return absl::InternalError(absl::StrCat("cannot start ", argv[0], ": ", strerror(failure)));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) {
      return absl::InternalError(absl::StrCat("lost sight of ", argv[0], ": ", strerror(errno)));
    }
  }
  return CommandResult{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out.Read(),
                       err.Read()};
}

}  // namespace countersign::redirect
