// Golden values as raw little-endian numbers, made by the scripts in test/fixtures.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "test.h"

namespace infercept::test {

// name: below test/fixtures.
template <typename T>
std::vector<T> ReadGolden(const std::string& name) {
  const std::string path = std::string(INFERCEPT_FIXTURES) + "/" + name;
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  if (!file.good()) return {};
  std::vector<T> values(std::filesystem::file_size(path) / sizeof(T));
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

}  // namespace infercept::test
