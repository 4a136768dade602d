// What a load run found: named figures, printed as one line of JSON; and the latencies behind them.
#ifndef COUNTERSIGN_TESTS_BENCH_LOAD_REPORT_H_
#define COUNTERSIGN_TESTS_BENCH_LOAD_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace countersign::bench {

// One thread; lives as long as the run.
class Latencies {
 public:
  // More than four seconds counts as four: it is a stall either way.
  void Add(uint64_t nanoseconds);
  // Microseconds; `fraction` in [0, 1]. Sorts, so it belongs after the run.
  double Percentile(double fraction);

 private:
  std::vector<uint32_t> samples_;
  bool sorted_ = false;
};

// One thread; lives as long as the run.
class Report {
 public:
  void Count(const char* name, uint64_t value);
  void Figure(const char* name, double value);
  // Adds `load_cpu_s`, the CPU seconds that this process has used, and prints the line.
  void Print();

 private:
  std::string fields_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_LOAD_REPORT_H_
