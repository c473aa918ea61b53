// infercept_bench NAME [--quick] [--json] [--threads N] [--isa NAME] [--type NAME] [--device
// cpu|cuda]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string_view>
#include <thread>

#include "harness.h"

namespace infercept::bench {
namespace {

struct Entry {
  std::string_view name;
  std::string (*run)(const Options& options);
};
constexpr Entry kEntries[] = {{"kernels", RunKernels},     {"model", RunModel},
                              {"attention", RunAttention}, {"limits", RunLimits},
                              {"estimator", RunEstimator}, {"overhead", RunOverhead},
                              {"device", RunDevice}};

int Main(int count, char** arguments) {
  Options options;
  std::string_view name;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    const bool has_value = i + 1 < count;
    if (argument == "--quick")
      options.quick = true;
    else if (argument == "--json")
      options.json = true;
    else if (argument == "--threads" && has_value)
      options.threads = static_cast<uint32_t>(std::atoi(arguments[++i]));
    else if (argument == "--isa" && has_value)
      options.isa = arguments[++i];
    else if (argument == "--type" && has_value)
      options.type = arguments[++i];
    else if (argument == "--device" && has_value)
      options.device = arguments[++i];
    else
      name = argument;
  }
  if (options.threads == 0) options.threads = std::thread::hardware_concurrency();
  for (const Entry& entry : kEntries) {
    if (entry.name != name) continue;
    const std::string json = entry.run(options);
    if (options.json) std::printf("%s\n", json.c_str());
    return 0;
  }
  std::fprintf(stderr,
               "usage: infercept_bench kernels|model|attention|limits|estimator|overhead|device "
               "[--quick] [--json] [--threads N] [--isa NAME] [--type NAME] [--device cpu|cuda]\n");
  return 2;
}

}  // namespace
}  // namespace infercept::bench

int main(int count, char** arguments) {
  try {
    return infercept::bench::Main(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "infercept_bench: %s\n", error.what());
    return 1;
  }
}
