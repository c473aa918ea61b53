// Sampling where the model computes on a device that is not the host: what rows ask for goes there
// in one copy, and tokens and log probabilities come back in another. The samples of a step stay on
// the device until the next one's are made: that one takes its awaited tokens from them.
//
// A step: Clear, Add for each row, Await, Send; Model::Forward with awaited() and Model::Sample
// with rows(); Fetch. When the device is done: Read. Owner and thread: whoever computes on the
// stream.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "device/device.h"
#include "device/uploader.h"
#include "kernels/ops.h"
#include "model/sampler.h"

namespace infercept {

class DeviceSampler {
 public:
  // Rows of one step, and steps whose samples wait to be read. kOutOfMemory, kDevice. Ops, device
  // and stream outlive it.
  static Result<DeviceSampler> Create(const Ops& ops, Device& device, Stream& stream,
                                      uint32_t rows_max, uint32_t steps);

  // Whether the device samples so. By the parameters alone: who samples a token must not depend on
  // what else is in its step.
  static bool Takes(const SamplingParams& params);

  // What the next step asks for.
  void Clear();
  // Its next row. `newest`: the sample of the step before that it lacks, if it lacks one. REQUIRES:
  // Takes.
  void Add(const SampleRequest& request, uint32_t newest);
  // Its next row, which somebody else samples.
  void AddOther() { rows_.push_back({.top_first = top_count_}); }
  // A token that the step computes is a sample of the step before.
  void Await(const TokenPick& token) { tokens_.push_back(token); }
  // Brings it to the device. kDevice: the stream is lost.
  Status Send();
  // Of what was sent, on the device.
  TokenPicks awaited() const;
  SampleRows rows(uint32_t first, uint32_t count) const;

  // Enqueues the sample of a row that somebody else samples, after Model::Sample. REQUIRES: the
  // host has waited for all work of the step before.
  void Put(uint32_t row, TokenId token);
  // Enqueues the way back of all samples. `step` of those that wait to be read.
  void Fetch(uint32_t step);
  // REQUIRES: the host has waited for what was fetched.
  void Read(uint32_t step, uint32_t row, SampleResult& result) const;
  TokenId Token(uint32_t step, uint32_t row) const;

 private:
  // Samples, and most probable tokens of all rows.
  struct Answers {
    RowSample* samples = nullptr;     // [rows_max]
    RowSample* top = nullptr;         // [rows_max * most probable ones of a row]
    std::vector<uint32_t> top_first;  // [rows + 1]
  };
  // Where on the device the parts of what was sent begin.
  struct Parts {
    const SampleRow* rows = nullptr;
    const TokenBias* biases = nullptr;
    TokenId* recent = nullptr;
    const TokenPick* tokens = nullptr;
    const TokenPick* newest = nullptr;
  };

  DeviceSampler(const Ops& ops, Stream& stream, Uploader uploader, Arena device, Arena pinned,
                uint32_t rows_max, uint32_t steps);

  const Ops* ops_;
  Stream* stream_;
  Uploader uploader_;
  Arena device_;  // what rows ask for, then samples and most probable tokens
  Arena pinned_;  // [steps] of samples and most probable tokens, then put_
  uint32_t rows_max_;

  Answers on_device_;
  std::vector<Answers> fetched_;  // [steps]
  RowSample* put_;                // [rows_max]
  Parts sent_;

  // What the next step asks for.
  std::vector<SampleRow> rows_;
  std::vector<TokenBias> biases_;
  std::vector<TokenId> recent_;
  std::vector<TokenPick> tokens_;
  std::vector<TokenPick> newest_;  // targets are in recent_
  uint32_t top_count_ = 0;         // most probable tokens of all rows
};

}  // namespace infercept
