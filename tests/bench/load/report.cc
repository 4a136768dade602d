#include "tests/bench/load/report.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

namespace countersign::bench {

namespace {

constexpr uint64_t kLongestSample = 4'000'000'000;

double OwnCpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

}  // namespace

void Latencies::Add(uint64_t nanoseconds) {
  samples_.push_back(static_cast<uint32_t>(std::min(nanoseconds, kLongestSample)));
}

double Latencies::Percentile(double fraction) {
  if (samples_.empty()) return 0;
  if (!sorted_) {
    std::sort(samples_.begin(), samples_.end());
    sorted_ = true;
  }
  const auto index = static_cast<size_t>(fraction * static_cast<double>(samples_.size()));
  return samples_[std::min(index, samples_.size() - 1)] / 1000.0;
}

void Report::Count(const char* name, uint64_t value) {
  if (!fields_.empty()) fields_ += ',';
  fields_ += '"' + std::string(name) + "\":" + std::to_string(value);
}

void Report::Figure(const char* name, double value) {
  char text[64];
  snprintf(text, sizeof text, "%.3f", value);
  if (!fields_.empty()) fields_ += ',';
  fields_ += '"' + std::string(name) + "\":" + text;
}

void Report::Print() {
  Figure("load_cpu_s", OwnCpuSeconds());
  printf("{%s}\n", fields_.c_str());
  fflush(stdout);
}

}  // namespace countersign::bench
