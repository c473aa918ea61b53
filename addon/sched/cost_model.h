// What a step and a copy cost on this machine: measured at load, refitted while running, never a
// constant in code.
//
//   forward(q, kv) = c + a q + b kv   seconds; q query tokens, kv positions they attend to in all
//   copy(blocks)   = f + g blocks     seconds, per direction
//
// InferCept (ICML 2024) §4 profiles T_fwd and T_swap offline as functions of tokens alone; the kv
// term is ours.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/types.h"
#include "sched/line_fit.h"

namespace infercept {

struct ForwardSample {
  uint32_t query_tokens = 0;
  uint64_t kv_tokens = 0;  // sum of KvReads over slices
  Nanos duration = 0;
};

struct CopySample {
  uint32_t blocks = 0;
  Nanos duration = 0;
};

enum class CopyDirection : uint8_t { kOut, kIn };

// The coefficients, in seconds. Plain data: the profiles of other machines are values of this type.
struct CostProfile {
  double step = 1e-3;                               // c
  double per_query_token = 1e-5;                    // a
  double per_kv_token = 1e-9;                       // b
  std::array<double, 2> copy_start = {0, 0};        // f, by CopyDirection
  std::array<double, 2> copy_block = {1e-5, 1e-5};  // g
  // Neighbouring query tokens of a sequence that read its context together: 1 where each token's
  // attention costs by itself (a processor, bound by arithmetic), a kernel's tile where reading
  // binds.
  uint32_t query_tile = 1;
  // How far back attention looks (KvConfig::window_tokens), but in `full_share` of the layers; 0:
  // to the beginning in all.
  uint32_t window_tokens = 0;
  double full_share = 0;
};

class CostModel {
 public:
  explicit CostModel(const CostProfile& profile = {});

  // Starts over from samples that span several sizes. None of one sort leave its coefficients as
  // they are.
  void Calibrate(std::span<const ForwardSample> forward, std::span<const CopySample> out,
                 std::span<const CopySample> in);

  // Follows the running machine: one that becomes half or twice as fast to within a tenth in 40
  // steps, whatever was predicted before and whatever the unit of time.
  void Observe(const ForwardSample& sample);
  void Observe(CopyDirection direction, const CopySample& sample);

  // Positions that attention reads for `count` query tokens of a sequence, the first at position
  // `first`: for each tile, from the first one that its first token sees to its last token. The
  // mean of all layers.
  uint64_t KvReads(uint64_t first, uint64_t count) const {
    if (first + count <= reach_tokens_ || full_share_ == 0) {
      return ReadsWithin(reach_tokens_, first, count);
    }
    return MeanReads(first, count);
  }
  // Positions that a token sees at most, but in `full_share` of the layers.
  uint64_t reach_tokens() const { return reach_tokens_; }
  double full_share() const { return full_share_; }

  // Seconds.
  double Forward(double query_tokens, double kv_tokens) const;
  // Seconds that query tokens, attending to kv_tokens in all, add to a step that runs anyway.
  double ForwardMarginal(double query_tokens, double kv_tokens) const;
  double Copy(CopyDirection direction, double blocks) const;
  // Blocks that fit into `seconds` of copying, at least 1: the swap limit N with T_swap(N) =
  // T_fwd(B), InferCept §4.1.
  uint32_t CopyBlocksWithin(CopyDirection direction, double seconds) const;

  // Query tokens per step beyond which step time grows in proportion to them: the S of InferCept
  // §4.2.
  uint32_t SaturationTokens() const;

  // Mean of |predicted - measured| / measured over recent forward samples.
  double relative_error() const { return relative_error_; }
  CostProfile profile() const;

 private:
  // What attention reads that looks so far back.
  uint64_t ReadsWithin(uint64_t reach, uint64_t first, uint64_t count) const {
    return count == 1 ? std::min(first + 1, reach) : ReadsOfMany(reach, first, count);
  }
  uint64_t ReadsOfMany(uint64_t reach, uint64_t first, uint64_t count) const;
  uint64_t MeanReads(uint64_t first, uint64_t count) const;

  LineFollower forward_;
  uint32_t query_tile_;
  uint64_t reach_tokens_;
  double full_share_;
  std::array<LineFollower, 2> copy_;  // By CopyDirection.
  double relative_error_ = 0;
};

}  // namespace infercept
