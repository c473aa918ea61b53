#include "model/device_sampler.h"

#include <algorithm>
#include <utility>

namespace infercept {
namespace {

// Twice what applications mostly look back at. A row's window is compared with itself, and all rows
// have room for it: 2 KB.
constexpr uint32_t kRecentMax = 512;
// More than hosted models take (300), in another 4 KB.
constexpr size_t kBiasesMax = 512;
// As many as can be asked for.
constexpr int32_t kTopMax = 20;

size_t AskedBytes(uint32_t rows) {
  const size_t row = sizeof(SampleRow) + kBiasesMax * sizeof(TokenBias) +
                     kRecentMax * sizeof(TokenId) + 2 * sizeof(TokenPick);
  return rows * row;
}

size_t AnswerBytes(uint32_t rows) { return size_t{rows} * (1 + kTopMax) * sizeof(RowSample); }

// The parts of a piece, one behind the other: first to be staged, then as they lie on the device.
class Packer {
 public:
  Packer(std::byte* staged, std::byte* there) : staged_(staged), there_(there) {}

  template <typename T>
  T* Add(const std::vector<T>& entries) {
    std::ranges::copy(std::as_bytes(std::span(entries)), staged_);
    staged_ += entries.size() * sizeof(T);
    return reinterpret_cast<T*>(std::exchange(there_, there_ + entries.size() * sizeof(T)));
  }

 private:
  std::byte* staged_;
  std::byte* there_;
};

}  // namespace

Result<DeviceSampler> DeviceSampler::Create(const Ops& ops, Device& device, Stream& stream,
                                            uint32_t rows_max, uint32_t steps) {
  IC_CHECK(rows_max > 0 && steps > 0);
  constexpr std::string_view kPurpose = "sampling";
  const size_t asked = AskedBytes(rows_max);
  const size_t answer = AnswerBytes(rows_max);
  Result<Uploader> uploader = Uploader::Create(device, stream, asked, kPurpose);
  if (!uploader.ok()) return uploader.status();
  Result<Arena> memory = device.Allocate(asked + answer, kPurpose);
  if (!memory.ok()) return memory.status();
  Result<Arena> pinned =
      device.AllocatePinned(steps * answer + rows_max * sizeof(RowSample), kPurpose);
  if (!pinned.ok()) return pinned.status();
  return DeviceSampler(ops, stream, std::move(uploader).Take(), std::move(memory).Take(),
                       std::move(pinned).Take(), rows_max, steps);
}

DeviceSampler::DeviceSampler(const Ops& ops, Stream& stream, Uploader uploader, Arena device,
                             Arena pinned, uint32_t rows_max, uint32_t steps)
    : ops_(&ops),
      stream_(&stream),
      uploader_(std::move(uploader)),
      device_(std::move(device)),
      pinned_(std::move(pinned)),
      rows_max_(rows_max) {
  const auto answers = [rows_max](std::byte* data) {
    auto* samples = reinterpret_cast<RowSample*>(data);
    return Answers{samples, samples + rows_max, {}};
  };
  on_device_ = answers(device_.data() + AskedBytes(rows_max));
  for (uint32_t i = 0; i < steps; ++i) {
    fetched_.push_back(answers(pinned_.data() + i * AnswerBytes(rows_max)));
  }
  put_ = reinterpret_cast<RowSample*>(pinned_.data() + steps * AnswerBytes(rows_max));
}

bool DeviceSampler::Takes(const SamplingParams& params) {
  return (!HasPenalties(params) || params.penalty_tokens <= kRecentMax) &&
         params.logprobs <= kTopMax && params.logit_bias.size() <= kBiasesMax;
}

void DeviceSampler::Clear() {
  rows_.clear();
  biases_.clear();
  recent_.clear();
  tokens_.clear();
  newest_.clear();
  top_count_ = 0;
}

void DeviceSampler::Add(const SampleRequest& request, uint32_t newest) {
  const SamplingParams& params = *request.params;
  const auto recent_first = static_cast<uint32_t>(recent_.size());
  recent_.insert(recent_.end(), request.recent.begin(), request.recent.end());
  if (request.lacks_newest) {
    newest_.push_back({static_cast<uint32_t>(recent_.size()), newest});
    recent_.push_back(0);
  }
  const auto bias_first = static_cast<uint32_t>(biases_.size());
  for (const auto& [token, bias] : params.logit_bias) biases_.push_back({token, bias});
  const auto top_count = static_cast<uint32_t>(std::max(params.logprobs, 0));
  rows_.push_back({.temperature = params.temperature,
                   .top_k = params.top_k,
                   .top_p = params.top_p,
                   .min_p = params.min_p,
                   .repetition_penalty = params.repetition_penalty,
                   .presence_penalty = params.presence_penalty,
                   .frequency_penalty = params.frequency_penalty,
                   .recent_first = recent_first,
                   .recent_count = static_cast<uint32_t>(recent_.size()) - recent_first,
                   .bias_first = bias_first,
                   .bias_count = static_cast<uint32_t>(biases_.size()) - bias_first,
                   .top_first = std::exchange(top_count_, top_count_ + top_count),
                   .top_count = top_count,
                   .wants_logprob = params.logprobs >= 0,
                   .uniform = request.uniform});
}

Status DeviceSampler::Send() {
  IC_CHECK(rows_.size() <= rows_max_ && tokens_.size() <= rows_max_);
  const size_t bytes = std::span(rows_).size_bytes() + std::span(biases_).size_bytes() +
                       std::span(recent_).size_bytes() + std::span(tokens_).size_bytes() +
                       std::span(newest_).size_bytes();
  if (bytes == 0) return Status();
  const Result<std::span<std::byte>> room = uploader_.Stage(bytes);
  if (!room.ok()) return room.status();
  Packer packer(room.value().data(), device_.data());
  sent_ = {};
  sent_.rows = packer.Add(rows_);
  sent_.biases = packer.Add(biases_);
  sent_.recent = packer.Add(recent_);
  sent_.tokens = packer.Add(tokens_);
  sent_.newest = packer.Add(newest_);
  uploader_.Send(device_.data());
  if (newest_.empty()) return Status();
  ops_->PickTokens({{sent_.newest, newest_.size()}, {on_device_.samples, rows_max_}},
                   {sent_.recent, recent_.size()});
  return Status();
}

TokenPicks DeviceSampler::awaited() const {
  return {{sent_.tokens, tokens_.size()}, {on_device_.samples, rows_max_}};
}

SampleRows DeviceSampler::rows(uint32_t first, uint32_t count) const {
  IC_CHECK(first + count <= rows_.size());
  return {.rows = {sent_.rows + first, count},
          .recent = {sent_.recent, recent_.size()},
          .biases = {sent_.biases, biases_.size()},
          .results = on_device_.samples + first,
          .top = {on_device_.top, top_count_}};
}

void DeviceSampler::Put(uint32_t row, TokenId token) {
  IC_CHECK(row < rows_.size());
  put_[row] = {token, 0};
  stream_->Copy(on_device_.samples + row, put_ + row, sizeof(RowSample));
}

void DeviceSampler::Fetch(uint32_t step) {
  Answers& answers = fetched_[step];
  answers.top_first.clear();
  for (const SampleRow& row : rows_) answers.top_first.push_back(row.top_first);
  answers.top_first.push_back(top_count_);
  if (rows_.empty()) return;
  stream_->Copy(answers.samples, on_device_.samples, rows_.size() * sizeof(RowSample));
  if (top_count_ == 0) return;
  stream_->Copy(answers.top, on_device_.top, top_count_ * sizeof(RowSample));
}

TokenId DeviceSampler::Token(uint32_t step, uint32_t row) const {
  const Answers& answers = fetched_[step];
  IC_CHECK(row + 1 < answers.top_first.size());
  return answers.samples[row].token;
}

void DeviceSampler::Read(uint32_t step, uint32_t row, SampleResult& result) const {
  const Answers& answers = fetched_[step];
  result.token = Token(step, row);
  result.logprob = answers.samples[row].logprob;
  result.top.clear();
  for (uint32_t i = answers.top_first[row]; i < answers.top_first[row + 1]; ++i) {
    const auto& [token, logprob] = answers.top[i];
    if (token >= 0) result.top.push_back({token, logprob});
  }
}

}  // namespace infercept
