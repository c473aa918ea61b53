// A small timing harness: medians, and the options that every benchmark takes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace infercept::bench {

struct Options {
  bool quick = false;          // fewer shapes and samples; ends within a minute
  bool json = false;           // the last line is one JSON object
  uint32_t threads = 0;        // 0: one per core
  std::string isa;             // empty: every one that the machine runs
  std::string device = "cpu";  // or "cuda"
  // Of models; empty: the benchmark's own.
  std::string shape;
  std::string type;  // of weights
  // Of `policies`.
  double seconds = 0;        // of each run; 0: its own
  std::string trace;         // file for a timeline
  std::string save_profile;  // file for what was measured
  std::string profile;       // file of a measured machine, to be simulated alone
};

// Seconds of one call: the median of `samples`, after one call to warm up. Each sample is timed
// alone.
double MedianSeconds(uint32_t samples, const std::function<void()>& call);

// The compiler may not drop what computed this value.
template <typename T>
void Keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

// "model name" of the first processor, cores and threads used: what a figure means nothing without.
std::string MachineHeader(uint32_t threads);

// Each prints a table, and returns its figures as one JSON object.
std::string RunKernels(const Options& options);
std::string RunModel(const Options& options);
std::string RunAttention(const Options& options);
std::string RunLimits(const Options& options);
std::string RunEstimator(const Options& options);
std::string RunOverhead(const Options& options);
std::string RunDevice(const Options& options);
std::string RunPolicies(const Options& options);

}  // namespace infercept::bench
