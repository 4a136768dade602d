#include "control/registry/file/config_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/registry/file/resource_loader.h"

namespace countersign::control::registry {
namespace {

// Threads that parse at most, however many processors there are.
constexpr size_t kMaxParsers = 8;

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

ConfigFolder::ConfigFolder(std::string directory, std::string last_good, Limits limits)
    : directory_(std::move(directory)), limits_(limits), last_good_(std::move(last_good)) {}

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
        last_good_.Forget(it->first);
        it = files_.erase(it);
        changed_ = true;
      }
    }
    std::vector<News> news;
    for (const std::string& name : names) {
      auto [it, first] = files_.try_emplace(name);
      News& one = news.emplace_back();
      one.name = &it->first;
      one.file = &it->second;
      one.first = first;
      if (!Read(&one)) {
        news.pop_back();
      }
    }
    ParseAll(&news);
    for (News& one : news) {
      Take(&one);
    }
    changed_ |= !news.empty();
  }
  const bool folder_changed = folder_errors.size() != folder_errors_.size();
  folder_errors_ = std::move(folder_errors);
  const bool adopted =
      (changed_ || (model_ == nullptr && folder_errors_.empty())) && Judge(noticed_at);
  changed_ |= folder_changed;
  errors_ = folder_errors_;
  errors_.insert(errors_.end(), verdict_.begin(), verdict_.end());
  if (model_ != nullptr) {
    errors_.insert(errors_.end(), model_->ungranted().begin(), model_->ungranted().end());
  }
  for (const auto& [name, file] : files_) {
    errors_.insert(errors_.end(), file.parse_errors.begin(), file.parse_errors.end());
    errors_.insert(errors_.end(), file.verdict.begin(), file.verdict.end());
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

ConfigFolder::Stamp ConfigFolder::StampOf(const struct stat& st) {
  return {st.st_dev, st.st_ino, st.st_size, Nanoseconds(st.st_mtim), Nanoseconds(st.st_ctim)};
}

absl::Status ConfigFolder::ReadText(const std::string& path, Stamp* stamp,
                                    std::string* text) const {
  // O_NONBLOCK: a FIFO under this name must not hold us up.
  Fd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat st;
  if (fd.get() < 0 || fstat(fd.get(), &st) != 0) {
    return absl::UnavailableError(Errno("cannot be read"));
  }
  if (!S_ISREG(st.st_mode)) {
    return absl::FailedPreconditionError("is no regular file");
  }
  *stamp = StampOf(st);
  if (st.st_size > static_cast<off_t>(limits_.yaml.max_bytes)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "has ", st.st_size, " bytes; at most ", limits_.yaml.max_bytes, " are read: split it"));
  }
  text->reserve(st.st_size);
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

bool ConfigFolder::Read(News* news) const {
  const std::string path = PathOf(*news->name);
  // Most files are as they were: one system call says so.
  if (struct stat st; stat(path.c_str(), &st) == 0 && StampOf(st) == news->file->stamp) {
    return false;
  }
  const absl::Status status = ReadText(path, &news->stamp, &news->text);
  if (!status.ok()) {
    const std::vector<ConfigError>& before = news->file->parse_errors;
    if (!news->first && before.size() == 1 && before[0].reason == status.message()) {
      return false;
    }
    news->errors.push_back({{path, 0, 0}, "", "", std::string(status.message())});
  }
  return true;
}

void ConfigFolder::Parse(News* news) const {
  const std::string path = PathOf(*news->name);
  const auto parse = [&](const std::string& text, std::vector<ConfigError>* errors) -> Resources {
    auto resources = LoadResources(path, text, limits_.yaml, errors);
    return errors->empty() ? std::make_shared<const std::vector<Resource>>(std::move(resources))
                           : nullptr;
  };
  if (news->errors.empty()) {
    news->parsed = parse(news->text, &news->errors);
  }
  if (!news->first) {
    return;
  }
  const absl::optional<std::string> before = last_good_.Load(*news->name, limits_.yaml.max_bytes);
  news->restored = before.has_value();
  if (before.has_value()) {
    std::vector<ConfigError> ignored;
    news->good =
        news->parsed != nullptr && *before == news->text ? news->parsed : parse(*before, &ignored);
  }
}

void ConfigFolder::ParseAll(std::vector<News>* news) const {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < news->size(); i = next++) {
      Parse(&(*news)[i]);
    }
  };
  // One file is the usual news, all of them a start's.
  const size_t parsers =
      std::min<size_t>({news->size(), std::thread::hardware_concurrency(), kMaxParsers});
  std::vector<std::thread> others;
  for (size_t i = 1; i < parsers; ++i) {
    others.emplace_back(work);
  }
  work();
  for (std::thread& other : others) {
    other.join();
  }
}

void ConfigFolder::Take(News* news) {
  File& file = *news->file;
  file.stamp = news->stamp;
  file.parsed = std::move(news->parsed);
  file.text = std::move(news->text);
  file.parse_errors = std::move(news->errors);
  restored_ |= news->restored;
  if (news->first) {
    file.good = std::move(news->good);
  }
}

void ConfigFolder::Adopt(const std::string& name, File* file) {
  file->good = file->parsed;
  if (const absl::Status status = last_good_.Save(name, file->text); !status.ok()) {
    spdlog::warn("{}", std::string(status.message()));
  }
  file->text.clear();
  file->text.shrink_to_fit();
}

bool ConfigFolder::Judge(absl::Time noticed_at) {
  verdict_.clear();
  std::map<std::string, std::string> newcomers;  // path to name
  for (auto& [name, file] : files_) {
    file.verdict.clear();
    if (file.is_new()) {
      newcomers[PathOf(name)] = name;
    }
  }
  // Each round refuses at least one newcomer, so this ends.
  while (true) {
    bool complete = true;
    // What is in force first, so that the newcomer is blamed for a contradiction.
    std::vector<const Resource*> resources, news;
    for (const auto& [name, file] : files_) {
      const bool is_new = newcomers.contains(PathOf(name));
      const Resources& chosen = is_new ? file.parsed : file.good;
      complete &= chosen != nullptr;
      if (chosen != nullptr) {
        for (const Resource& resource : *chosen) {
          (is_new ? news : resources).push_back(&resource);
        }
      }
    }
    resources.insert(resources.end(), news.begin(), news.end());
    std::vector<ConfigError> errors;
    std::shared_ptr<const Model> model =
        Model::Build(resources, version_ + 1, noticed_at, &errors, model_.get());
    if (model != nullptr) {
      // A newcomer without its grants is refused. What was in force stays, without what it was
      // granted: a grant can be withdrawn.
      for (const ConfigError& error : model->ungranted()) {
        if (newcomers.contains(error.location.file)) {
          errors.push_back(error);
          errors.back().in_force = false;
        }
      }
    }
    if (errors.empty()) {
      const bool nothing_new = model_ != nullptr && newcomers.empty() && !withdrawn_;
      if (nothing_new || (!complete && model_ == nullptr && !restored_)) {
        return false;
      }
      withdrawn_ = false;
      for (const auto& [path, name] : newcomers) {
        Adopt(name, &files_.at(name));
      }
      model_ = std::move(model);
      ++version_;
      return true;
    }
    std::set<std::string> refused;
    for (ConfigError& error : errors) {
      auto it = newcomers.find(error.location.file);
      if (it == newcomers.end()) {
        continue;
      }
      refused.insert(it->first);
      std::vector<ConfigError>& verdict = files_.at(it->second).verdict;
      if (verdict.size() < kMaxErrorsPerFile) {
        verdict.push_back(std::move(error));
      }
    }
    if (refused.empty()) {
      // No newcomer is to blame: the file is gone that said what cannot change. The Model in force
      // stays as it is.
      for (ConfigError& error : errors) {
        error.location.file = error.location.file.empty() ? directory_ : error.location.file;
      }
      verdict_ = std::move(errors);
      return false;
    }
    for (const std::string& path : refused) {
      newcomers.erase(path);
    }
  }
}

}  // namespace countersign::control::registry
