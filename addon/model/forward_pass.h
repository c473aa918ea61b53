// What the layers of one Forward share, and the rows they compute.
#pragma once

#include <algorithm>

#include "base/thread_pool.h"
#include "device/device.h"
#include "kernels/ops.h"
#include "model/forward_input.h"
#include "model/model_spec.h"
#include "model/wanted_rows.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace infercept {

struct ForwardPass {
  const Hyperparameters& hyperparameters;
  const Ops& ops;
  Workspace& workspace;
  ThreadPool& pool;
  Stream& stream;
  ForwardInput input;
  // Of the layer at hand.
  RopeView rope = {};
  uint32_t window_tokens = 0;
  // In the last layer, when not all rows are: those that are wanted. Else nullptr.
  const WantedRows* wanted = nullptr;

  uint32_t rows() const { return static_cast<uint32_t>(input.tokens.size()); }

  // residual += projection; out = norm(residual). All [rows][width].
  void AddAndNorm(const NormWeights& norm, float* out) const;
  // projection = norm(projection): what a block computed, before it is added to the stream.
  void NormProjection(const NormWeights& norm) const;
  // x += bias for `count` rows; nothing where the model has no such bias.
  void AddBias(const float* bias, uint32_t width, uint32_t count, float* x, size_t stride) const;

  // For the rest of the layer once all keys and values are stored: this pass, or in the last layer
  // one over the wanted rows alone, of which everything that is still needed is moved to the front.
  ForwardPass KeepWanted() const;

  // Runs body(first, count) over `all` rows, in parts of at least kPartElements elements, spread
  // over the threads when there are several.
  template <typename Body>
  void ForRows(size_t all, size_t row_elements, const Body& body) const {
    const size_t part_rows = std::max<size_t>(1, kPartElements / row_elements);
    pool.ParallelFor(static_cast<uint32_t>(all), static_cast<uint32_t>(part_rows),
                     [&](uint32_t begin, uint32_t end, uint32_t) { body(begin, end - begin); });
  }
  template <typename Body>
  void ForRows(size_t row_elements, const Body& body) const {
    ForRows(rows(), row_elements, body);
  }

  // The same over elements: body(first, count) of [0, elements).
  template <typename Body>
  void ForElements(size_t elements, const Body& body) const {
    const auto parts = static_cast<uint32_t>(DivCeil(elements, kPartElements));
    pool.ParallelFor(parts, 1, [&](uint32_t begin, uint32_t end, uint32_t) {
      const size_t first = begin * kPartElements;
      body(first, std::min(elements, end * kPartElements) - first);
    });
  }

  // One to two microseconds of normalizing or activating (measured on Zen 5), where handing over to
  // a thread that spins takes a third of one, and waking a thread that sleeps several.
  static constexpr size_t kPartElements = 8192;
};

}  // namespace infercept
