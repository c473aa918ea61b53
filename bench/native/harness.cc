#include "harness.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

namespace infercept::bench {

double MedianSeconds(uint32_t samples, const std::function<void()>& call) {
  call();
  std::vector<double> seconds;
  for (uint32_t i = 0; i < samples; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    seconds.push_back(elapsed.count());
  }
  std::ranges::nth_element(seconds, seconds.begin() + samples / 2);
  return seconds[samples / 2];
}

std::string MachineHeader(uint32_t threads) {
  std::ifstream info("/proc/cpuinfo");
  std::string name = "unknown processor";
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      name = line.substr(line.find(':') + 2);
      break;
    }
  }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores, " +
         std::to_string(threads) + " threads";
}

}  // namespace infercept::bench
