// The model architectures that can be run: one row each. A new one is a row here and a file with
// its two functions.
#pragma once

#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/ops.h"
#include "model/forward_input.h"
#include "model/model_spec.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace infercept {

// What all layers of one Forward share.
struct ForwardPass {
  const Hyperparameters& hyperparameters;
  const Ops& ops;
  const ForwardInput& input;
  const RopeView& rope;
  Workspace& workspace;
  ThreadPool& pool;

  uint32_t rows() const { return static_cast<uint32_t>(input.tokens.size()); }

  // Runs body(first, count) over all rows, spread over the threads when there are enough to be
  // worth it.
  template <typename Body>
  void ForRows(const Body& body) const {
    if (rows() < kParallelRowsMin) return body(0u, rows());
    pool.ParallelFor(rows(), kParallelRowsMin / 2,
                     [&](uint32_t begin, uint32_t end, uint32_t) { body(begin, end - begin); });
  }

  void Norm(const float* x, const float* weight, float* out) const;  // [rows][width]
  void AddTo(float* x, const float* y) const;                        // x += y, [rows][width]

  // Element-wise work on fewer rows takes less time than waking the threads.
  static constexpr uint32_t kParallelRowsMin = 16;
};

struct Architecture {
  std::string_view name;  // as in ModelSpec::architecture
  std::vector<LayerTensor> (*layer_tensors)(const Hyperparameters& hyperparameters);
  // Takes workspace.residual one layer further and stores the layer's keys and values in `cache`.
  void (*forward_layer)(const LayerWeights& weights, const PagedKv& cache, const ForwardPass& pass);
};

// nullptr when it is not supported.
const Architecture* FindArchitecture(std::string_view name);

}  // namespace infercept
