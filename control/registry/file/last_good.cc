#include "control/registry/file/last_good.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace countersign::control::registry {
namespace {

absl::Status Failed(const std::string& path) {
  return absl::UnavailableError(absl::StrCat(path, " cannot be written: ", std::strerror(errno),
                                             "; if the control plane restarts while the file is "
                                             "bad, it will not have this to go on with"));
}

bool WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(n > 0 ? n : 0);
  }
  return true;
}

}  // namespace

absl::Status LastGood::Save(const std::string& name, absl::string_view text) {
  if (directory_.empty()) {
    return absl::OkStatus();
  }
  if (mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) {
    return Failed(directory_);
  }
  const std::string path = PathOf(name);
  // Hidden: never taken for a configuration file.
  const std::string temporary = PathOf(absl::StrCat(".", name, ".new"));
  const int fd =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return Failed(temporary);
  }
  const bool written = WriteAll(fd, text) && fsync(fd) == 0;
  close(fd);
  if (!written || rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status status = Failed(path);
    unlink(temporary.c_str());
    return status;
  }
  return absl::OkStatus();
}

absl::optional<std::string> LastGood::Load(const std::string& name, size_t max_bytes) const {
  if (directory_.empty()) {
    return absl::nullopt;
  }
  const int fd = open(PathOf(name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    return absl::nullopt;
  }
  std::string text;
  char buffer[16384];
  ssize_t n = 0;
  while (text.size() <= max_bytes && (n = read(fd, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, n);
  }
  close(fd);
  if (n < 0) {
    return absl::nullopt;
  }
  return text;
}

void LastGood::Forget(const std::string& name) {
  if (!directory_.empty()) {
    unlink(PathOf(name).c_str());
  }
}

}  // namespace countersign::control::registry
