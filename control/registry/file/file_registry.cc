#include "control/registry/file/file_registry.h"

#include <fcntl.h>
#include <poll.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace countersign::control::registry {
namespace {

using Clock = std::chrono::steady_clock;

prometheus::Family<prometheus::Counter>& Reloads(prometheus::Registry& metrics) {
  return prometheus::BuildCounter()
      .Name("countersign_control_config_reloads_total")
      .Help(
          "Changes of the configuration that were noticed, by result: accepted, or refused in "
          "whole or in part.")
      .Register(metrics);
}

}  // namespace

// inotify on the folder and a way to wake the thread.
class FileRegistry::Watch {
 public:
  explicit Watch(const std::string& directory)
      : directory_(directory),
        inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
        wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Watch() {
    close(inotify_);
    close(wake_);
  }

  // (Re)attaches to the folder; harmless when it is attached already.
  void Attach() {
    watch_ = inotify_add_watch(inotify_, directory_.c_str(),
                               IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                   IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR);
  }

  void Wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_, &one, sizeof(one));
  }

  // Waits for a sign of life, at most `timeout`.
  void Wait(std::chrono::milliseconds timeout) {
    pollfd fds[2] = {{inotify_, POLLIN, 0}, {wake_, POLLIN, 0}};
    poll(fds, 2, static_cast<int>(std::max<int64_t>(0, timeout.count())));
  }

  bool stopping() const {
    uint64_t count = 0;
    return read(wake_, &count, sizeof(count)) == sizeof(count);
  }

  // Takes what inotify has; true if anything concerns us.
  bool Drain() {
    bool any = false;
    alignas(inotify_event) char buffer[8192];
    while (true) {
      const ssize_t n = read(inotify_, buffer, sizeof(buffer));
      if (n <= 0) {
        return any;
      }
      for (const char* p = buffer; p < buffer + n;) {
        const auto* event = reinterpret_cast<const inotify_event*>(p);
        p += sizeof(inotify_event) + event->len;
        const std::string name = event->len > 0 ? event->name : "";
        if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED)) {
          writing_.clear();
          any = true;
        } else if (ConfigFolder::IsConfigFile(name)) {
          any = true;
          if (event->mask & IN_MODIFY) {
            writing_.emplace(name, Clock::now());
          } else if (event->mask & (IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)) {
            writing_.erase(name);
          }
        } else if (event->mask & (IN_MOVED_TO | IN_CREATE)) {
          any = true;  // a ConfigMap's `..data` link, through which all files change at once
        }
      }
    }
  }

  // Whether somebody is in the middle of writing, and has been for less than `max_open`.
  bool BeingWritten(std::chrono::milliseconds max_open) const {
    const Clock::time_point oldest = Clock::now() - max_open;
    return std::any_of(writing_.begin(), writing_.end(),
                       [&](const auto& entry) { return entry.second > oldest; });
  }
  void ForgetWriters() { writing_.clear(); }

 private:
  const std::string directory_;
  const int inotify_;
  const int wake_;
  int watch_ = -1;
  std::map<std::string, Clock::time_point> writing_;
};

FileRegistry::FileRegistry(Options options, prometheus::Registry& metrics)
    : options_(std::move(options)),
      folder_(options_.directory, options_.last_good_directory, options_.limits),
      errors_family_(prometheus::BuildGauge()
                         .Name("countersign_control_config_errors")
                         .Help("What is wrong with a configuration file at present; 0 once it has "
                               "been mended.")
                         .Register(metrics)),
      version_gauge_(prometheus::BuildGauge()
                         .Name("countersign_control_config_version")
                         .Help("The version of the configuration in force; 0 before the first.")
                         .Register(metrics)
                         .Add({})),
      last_good_gauge_(prometheus::BuildGauge()
                           .Name("countersign_control_config_last_accepted_timestamp_seconds")
                           .Help("When the configuration in force was accepted, as Unix time.")
                           .Register(metrics)
                           .Add({})),
      accepted_counter_(Reloads(metrics).Add({{"result", "accepted"}})),
      refused_counter_(Reloads(metrics).Add({{"result", "refused"}})) {}

FileRegistry::~FileRegistry() { Stop(); }

absl::Status FileRegistry::Start() {
  if (access(options_.directory.c_str(), R_OK | X_OK) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the configuration folder ", options_.directory,
                     " cannot be read: make it, or point --config-dir elsewhere"));
  }
  watch_ = std::make_unique<Watch>(options_.directory);
  watch_->Attach();
  Scan(absl::Now());
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void FileRegistry::Stop() {
  if (thread_.joinable()) {
    watch_->Wake();
    thread_.join();
  }
}

std::shared_ptr<const Model> FileRegistry::Current() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

std::vector<ConfigError> FileRegistry::Errors() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return errors_;
}

void FileRegistry::Subscribe(Listener listener) { listeners_.push_back(std::move(listener)); }

void FileRegistry::Run() {
  pthread_setname_np(pthread_self(), "config-watch");
  while (true) {
    watch_->Wait(options_.rescan);
    absl::Time noticed_at = absl::Now();
    if (watch_->stopping()) {
      return;
    }
    if (watch_->Drain()) {
      const Clock::time_point first = Clock::now();
      Clock::time_point last = first;
      while (true) {
        const Clock::time_point now = Clock::now();
        const bool written = watch_->BeingWritten(options_.max_open);
        if (!written && (now >= last + options_.settle || now >= first + options_.max_settle)) {
          break;
        }
        watch_->Wait(
            written ? options_.settle
                    : std::chrono::ceil<std::chrono::milliseconds>(
                          std::min(last + options_.settle, first + options_.max_settle) - now));
        if (watch_->stopping()) {
          return;
        }
        if (watch_->Drain()) {
          last = Clock::now();
        }
      }
      watch_->ForgetWriters();
    }
    watch_->Attach();  // the folder may have been replaced
    Scan(noticed_at);
  }
}

void FileRegistry::Scan(absl::Time noticed_at) {
  const bool adopted = folder_.Scan(noticed_at);
  if (!folder_.changed() && !adopted) {
    return;
  }
  ReportErrors();
  (folder_.errors().empty() ? accepted_counter_ : refused_counter_).Increment();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    current_ = folder_.model();
    errors_ = folder_.errors();
  }
  if (!adopted) {
    if (folder_.model() == nullptr && !folder_.errors().empty()) {
      spdlog::error(
          "no configuration is in force until the errors above are mended; proxies keep what they "
          "have");
    }
    return;
  }
  const Model& model = *folder_.model();
  version_gauge_.Set(static_cast<double>(model.version()));
  last_good_gauge_.Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
  spdlog::info(
      "configuration version {} is in force: {} workloads, {} services, {} peer authentications, "
      "trust domain {}",
      model.version(), model.workloads().size(), model.services().size(),
      model.peer_authentications().size(), model.mesh().trust_domain);
  for (const Listener& listener : listeners_) {
    listener(folder_.model());
  }
}

void FileRegistry::ReportErrors() {
  std::map<std::string, int> counts;
  std::vector<std::string> texts;
  for (const ConfigError& error : folder_.errors()) {
    ++counts[error.location.file];
    texts.push_back(error.ToString());
    if (std::find(reported_.begin(), reported_.end(), texts.back()) == reported_.end()) {
      spdlog::error("{}{}", texts.back(),
                    error.in_force ? "" : " (what was in force before stays in force)");
    }
  }
  reported_ = std::move(texts);
  for (const auto& [file, count] : counts) {
    prometheus::Gauge*& gauge = error_gauges_[file];
    if (gauge == nullptr) {
      gauge = &errors_family_.Add({{"file", file}});
    }
    gauge->Set(count);
  }
  for (auto it = error_gauges_.begin(); it != error_gauges_.end();) {
    if (counts.count(it->first) > 0) {
      ++it;
      continue;
    }
    // Mended: say so with a 0 as long as the file is there to be talked about, then forget it.
    if (access(it->first.c_str(), F_OK) == 0) {
      it->second->Set(0);
      ++it;
    } else {
      errors_family_.Remove(it->second);
      it = error_gauges_.erase(it);
    }
  }
}

}  // namespace countersign::control::registry
