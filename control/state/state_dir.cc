#include "control/state/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace countersign::control::state {
namespace {

constexpr off_t kMaxPrivateFileBytes = 1 << 20;

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::InternalError(absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status OpenDir(const std::string& path, mode_t mode, mode_t forbidden) {
  if (mkdir(path.c_str(), mode) == 0) {
    // The umask may have taken bits away; what the folder is for needs them.
    if (chmod(path.c_str(), mode) != 0) return Failed("cannot set the mode of", path);
    const size_t slash = path.find_last_of('/');
    return SyncDir(slash == std::string::npos ? "." : path.substr(0, slash + 1));
  }
  if (errno != EEXIST) return Failed("cannot create the folder", path);
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return Failed("cannot look at", path);
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a folder"));
  }
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the folder ", path, " belongs to uid ", info.st_uid, ", this process is uid ",
                     geteuid(), "; run as its owner or choose another --state-dir"));
  }
  if ((info.st_mode & forbidden) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the folder %s has mode %04o, which lets others in; if nobody has used that, run "
        "`chmod %04o %s`",
        path, info.st_mode & 07777, mode, path));
  }
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return Failed("cannot write", path);
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status OpenStateDir(const std::string& path) { return OpenDir(path, 0755, 0022); }

absl::Status OpenPrivateDir(const std::string& path) { return OpenDir(path, 0700, 0077); }

absl::Status SyncDir(const std::string& path) {
  Fd dir(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0) return Failed("cannot open the folder", path);
  if (fsync(dir.get()) != 0) return Failed("cannot sync the folder", path);
  return absl::OkStatus();
}

absl::Status WriteAtomically(const std::string& path, absl::string_view content, mode_t mode) {
  static std::atomic<unsigned> counter{0};
  // Leftovers of a crash carry another process's number and are never read.
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid(), ".", counter++);
  {
    Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (file.get() < 0) return Failed("cannot create", temporary);
    absl::Status status = WriteAll(file.get(), content, temporary);
    if (status.ok() && fchmod(file.get(), mode) != 0) {
      status = Failed("cannot set the mode of", temporary);
    }
    if (status.ok() && fsync(file.get()) != 0) status = Failed("cannot sync", temporary);
    if (!status.ok()) {
      unlink(temporary.c_str());
      return status;
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    absl::Status status = Failed("cannot rename a new file to", path);
    unlink(temporary.c_str());
    return status;
  }
  const size_t slash = path.find_last_of('/');
  return SyncDir(slash == std::string::npos ? "." : path.substr(0, slash + 1));
}

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) {
  Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file.get() < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("there is no ", path));
    return Failed("cannot open", path);
  }
  struct stat info;
  if (fstat(file.get(), &info) != 0) return Failed("cannot look at", path);
  if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 0077) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s must be a file of uid %d that nobody else may read; it has uid %d and mode %04o. If "
        "nobody has read it, run `chmod 0600 %s`, otherwise replace what is in it",
        path, geteuid(), info.st_uid, info.st_mode & 07777, path));
  }
  if (info.st_size > kMaxPrivateFileBytes) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is larger than 1 MiB"));
  }
  std::string content(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t got = read(file.get(), content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("cannot read", path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

absl::Status LockStateDir(const std::string& path) {
  const std::string lock = absl::StrCat(path, "/lock");
  // Held until the process ends; the kernel lets go of it even after kill -9.
  const int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Failed("cannot open", lock);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return absl::FailedPreconditionError(
        absl::StrCat("another control plane is running on ", path, "; stop it first"));
  }
  return absl::OkStatus();
}

}  // namespace countersign::control::state
