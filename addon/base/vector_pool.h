// Memory for vectors that come, grow and go: what one leaves behind another one takes, so that once
// there was enough for all no more is asked of the system.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

namespace infercept {

template <typename T>
class VectorPool {
 public:
  // Adds an element at the end.
  void Append(std::vector<T>& vector, const T& value) {
    if (vector.size() == vector.capacity()) Grow(vector, vector.size() + 1);
    vector.push_back(value);
  }

  // Makes room for `size` elements.
  void Grow(std::vector<T>& vector, size_t size) {
    if (vector.capacity() >= size) return;
    // Capacities are powers of two: few classes, and growing costs a constant time per element.
    const auto larger_than = static_cast<size_t>(std::bit_width(size - 1));
    std::vector<T> larger = Take(larger_than);
    larger.assign(vector.begin(), vector.end());
    Give(std::exchange(vector, std::move(larger)));
  }

  // Takes the memory of a vector that is no longer needed.
  void Give(std::vector<T>&& vector) {
    if (vector.capacity() == 0) return;
    vector.clear();
    spare_[static_cast<size_t>(std::bit_width(vector.capacity())) - 1].push_back(std::move(vector));
    vector = {};
  }

 private:
  // An empty vector with room for 2^power elements.
  std::vector<T> Take(size_t power) {
    std::vector<std::vector<T>>& spare = spare_[power];
    std::vector<T> taken;
    if (spare.empty()) {
      taken.reserve(size_t{1} << power);
    } else {
      taken = std::move(spare.back());
      spare.pop_back();
    }
    return taken;
  }

  // By n: empty vectors with a capacity from 2^n on, below 2^(n + 1).
  std::array<std::vector<std::vector<T>>, 64> spare_;
};

}  // namespace infercept
