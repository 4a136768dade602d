#include "control/registry/file/config_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/registry/file/resource_loader.h"

namespace countersign::control::registry {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

int64_t Nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

std::string Errno(absl::string_view what) { return absl::StrCat(what, ": ", std::strerror(errno)); }

}  // namespace

ConfigFolder::ConfigFolder(std::string directory, Limits limits)
    : directory_(std::move(directory)), limits_(limits) {}

bool ConfigFolder::IsConfigFile(const std::string& name) {
  return !name.empty() && name.front() != '.' &&
         (absl::EndsWith(name, ".yaml") || absl::EndsWith(name, ".yml"));
}

bool ConfigFolder::Scan(absl::Time noticed_at) {
  changed_ = false;
  std::vector<ConfigError> folder_errors;
  std::vector<std::string> names;
  if (const absl::Status status = List(&names); !status.ok()) {
    // What was read before stays in force: a folder that is away for a moment says nothing.
    folder_errors.push_back({{directory_, 0, 0}, "", "", std::string(status.message())});
  } else {
    for (auto it = files_.begin(); it != files_.end();) {
      if (std::binary_search(names.begin(), names.end(), it->first)) {
        ++it;
      } else {
        withdrawn_ |= it->second.good != nullptr;
        it = files_.erase(it);
        changed_ = true;
      }
    }
    for (const std::string& name : names) {
      changed_ |= Refresh(name, &files_[name]);
    }
  }
  const bool folder_changed = folder_errors.size() != folder_errors_.size();
  folder_errors_ = std::move(folder_errors);
  const bool adopted =
      (changed_ || (model_ == nullptr && folder_errors_.empty())) && Judge(noticed_at);
  changed_ |= folder_changed;
  errors_ = folder_errors_;
  errors_.insert(errors_.end(), verdict_.begin(), verdict_.end());
  for (const auto& [name, file] : files_) {
    errors_.insert(errors_.end(), file.errors.begin(), file.errors.end());
  }
  return adopted;
}

absl::Status ConfigFolder::List(std::vector<std::string>* names) const {
  DIR* dir = opendir(directory_.c_str());
  if (dir == nullptr) {
    return absl::UnavailableError(Errno("the configuration folder cannot be read"));
  }
  errno = 0;
  while (const dirent* entry = readdir(dir)) {
    if (IsConfigFile(entry->d_name)) {
      names->push_back(entry->d_name);
    }
  }
  closedir(dir);
  if (names->size() > limits_.max_files) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the configuration folder holds ", names->size(), " files; at most ",
                     limits_.max_files, " are read: put more resources into each"));
  }
  std::sort(names->begin(), names->end());
  return absl::OkStatus();
}

absl::Status ConfigFolder::Read(const std::string& path, const Stamp& known, Stamp* stamp,
                                bool* unchanged, std::string* text) const {
  // O_NONBLOCK: a FIFO under this name must not hold us up.
  Fd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat st;
  if (fd.get() < 0 || fstat(fd.get(), &st) != 0) {
    return absl::UnavailableError(Errno("cannot be read"));
  }
  if (!S_ISREG(st.st_mode)) {
    return absl::FailedPreconditionError("is no regular file");
  }
  *stamp = {st.st_dev, st.st_ino, st.st_size, Nanoseconds(st.st_mtim), Nanoseconds(st.st_ctim)};
  *unchanged = *stamp == known;
  if (*unchanged) {
    return absl::OkStatus();
  }
  if (st.st_size > static_cast<off_t>(limits_.yaml.max_bytes)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "has ", st.st_size, " bytes; at most ", limits_.yaml.max_bytes, " are read: split it"));
  }
  text->clear();
  char buffer[16384];
  while (text->size() <= limits_.yaml.max_bytes) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return absl::UnavailableError(Errno("cannot be read"));
    }
    if (n == 0) {
      break;
    }
    text->append(buffer, n);
  }
  return absl::OkStatus();
}

bool ConfigFolder::Refresh(const std::string& name, File* file) {
  const std::string path = absl::StrCat(directory_, "/", name);
  Stamp stamp;
  bool unchanged = false;
  std::string text;
  if (const absl::Status status = Read(path, file->stamp, &stamp, &unchanged, &text);
      !status.ok()) {
    ConfigError error{{path, 0, 0}, "", "", std::string(status.message())};
    const bool news = file->errors.size() != 1 || file->errors[0].reason != error.reason;
    file->stamp = stamp;
    file->candidate = nullptr;
    file->errors = {std::move(error)};
    return news;
  }
  if (unchanged) {
    return false;
  }
  file->stamp = stamp;
  file->errors.clear();
  std::vector<Resource> resources = LoadResources(path, text, limits_.yaml, &file->errors);
  file->candidate = file->errors.empty()
                        ? std::make_shared<const std::vector<Resource>>(std::move(resources))
                        : nullptr;
  return true;
}

bool ConfigFolder::Judge(absl::Time noticed_at) {
  verdict_.clear();
  // What is in force first, so that the newcomer is blamed for a contradiction. Each round refuses
  // at least one candidate, so this ends.
  while (true) {
    bool complete = true;
    std::vector<const Resource*> resources;
    std::map<std::string, File*> newcomers;  // by path
    for (auto& [name, file] : files_) {
      if (file.candidate == nullptr && file.good != nullptr) {
        for (const Resource& resource : *file.good) {
          resources.push_back(&resource);
        }
      }
      complete &= file.candidate != nullptr || file.good != nullptr;
    }
    for (auto& [name, file] : files_) {
      if (file.candidate != nullptr) {
        for (const Resource& resource : *file.candidate) {
          resources.push_back(&resource);
        }
        newcomers[absl::StrCat(directory_, "/", name)] = &file;
      }
    }
    std::vector<ConfigError> errors;
    std::shared_ptr<const Model> model =
        Model::Build(resources, version_ + 1, noticed_at, &errors, model_.get());
    if (model != nullptr) {
      if (!complete && model_ == nullptr) {
        return false;
      }
      if (model_ != nullptr && newcomers.empty() && !withdrawn_) {
        return false;  // whatever changed was refused
      }
      withdrawn_ = false;
      for (auto& [name, file] : files_) {
        if (file.candidate != nullptr) {
          file.good = std::move(file.candidate);
          file.candidate = nullptr;
        }
      }
      model_ = std::move(model);
      ++version_;
      return true;
    }
    bool refused = false;
    for (ConfigError& error : errors) {
      auto it = newcomers.find(error.location.file);
      if (it != newcomers.end()) {
        it->second->candidate = nullptr;
        if (it->second->errors.size() < kMaxErrorsPerFile) {
          it->second->errors.push_back(std::move(error));
        }
        refused = true;
      }
    }
    if (!refused) {
      // No newcomer is to blame: the file is gone that said what cannot change. The Model in force
      // stays as it is.
      for (ConfigError& error : errors) {
        error.location.file = error.location.file.empty() ? directory_ : error.location.file;
      }
      verdict_ = std::move(errors);
      return false;
    }
  }
}

}  // namespace countersign::control::registry
