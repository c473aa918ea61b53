// infercept_bench NAME [--quick] [--json] [--threads N] [--isa NAME] [--device cpu|cuda]
// [--shape NAME] [--type NAME] [--seconds N] [--trace FILE] [--save-profile FILE] [--profile FILE]
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
                              {"device", RunDevice},       {"policies", RunPolicies}};

struct TextOption {
  std::string_view name;
  std::string Options::*value;
};
constexpr TextOption kTextOptions[] = {
    {"--isa", &Options::isa},         {"--device", &Options::device},
    {"--shape", &Options::shape},     {"--type", &Options::type},
    {"--trace", &Options::trace},     {"--save-profile", &Options::save_profile},
    {"--profile", &Options::profile},
};

// Where the value of a text option goes; null: it is none.
std::string* TextOf(Options& options, std::string_view argument) {
  for (const TextOption& option : kTextOptions) {
    if (option.name == argument) return &(options.*option.value);
  }
  return nullptr;
}

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
    else if (argument == "--seconds" && has_value)
      options.seconds = std::atof(arguments[++i]);
    else if (std::string* text = TextOf(options, argument); text != nullptr && has_value)
      *text = arguments[++i];
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
               "usage: infercept_bench kernels|model|attention|limits|estimator|overhead|device|"
               "policies [--quick] [--json] [--threads N] [--isa NAME] [--device cpu|cuda] "
               "[--shape NAME] [--type NAME] [--seconds N] [--trace FILE] [--save-profile FILE] "
               "[--profile FILE]\n");
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
