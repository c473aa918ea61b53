// infercept_test [--file NAME] [--filter TEXT]: runs the tests of one file, or whose "Suite.Name"
// contains the text.
#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

#include "test.h"

namespace infercept::test {
namespace {

struct TestCase {
  std::string name;
  std::string file;
  void (*body)();
};

std::vector<TestCase>& Tests() {
  static std::vector<TestCase> tests;
  return tests;
}

int failures = 0;

std::string BaseName(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  return std::string(path.substr(0, path.rfind('.')));
}

bool RunTest(const TestCase& test) {
  const int before = failures;
  try {
    test.body();
  } catch (const std::exception& error) {
    ++failures;
    std::printf("  uncaught exception: %s\n", error.what());
  }
  std::printf("%s %s\n", failures == before ? "ok    " : "FAILED", test.name.c_str());
  return failures == before;
}

}  // namespace

Registration::Registration(const char* suite, const char* name, const char* file, void (*body)()) {
  Tests().push_back({std::string(suite) + "." + name, BaseName(file), body});
}

Failure::~Failure() {
  ++failures;
  std::printf("  %s:%d: %s\n", file_, line_, text_.str().c_str());
}

int Main(int argc, char** argv) {
  std::string file;
  std::string filter;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--file") == 0) file = argv[i + 1];
    if (std::strcmp(argv[i], "--filter") == 0) filter = argv[i + 1];
  }
  int passed = 0;
  int failed = 0;
  for (const TestCase& test : Tests()) {
    if (!file.empty() && test.file != file) continue;
    if (test.name.find(filter) == std::string::npos) continue;
    ++(RunTest(test) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  // A run that executed nothing is a mistake in the caller's filter, not a success.
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace infercept::test

int main(int argc, char** argv) { return infercept::test::Main(argc, argv); }
