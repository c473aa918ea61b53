// Decode steps as graphs. What a step of one token per sequence enqueues is the same every time but
// for the arrays that Ops::Bind brings to the device: so it is captured once and launched again,
// which takes the host microseconds instead of a call per kernel.
//
// A graph is for a number of rows, a longest context and a form (Ops::Bind). The first two are
// rounded up to buckets; rows that are missing are filled with tokens that nobody asked for, in a
// block that belongs to nobody.
// Owner and thread: the model's.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "device/kv_storage.h"
#include "model/forward_input.h"

namespace infercept {

// The smallest bucket that holds so many rows, or so long a context.
uint32_t RowBucket(uint32_t rows);
uint32_t ContextBucket(uint32_t tokens);

// At the end of the longest slice.
uint32_t LongestContext(std::span<const AttentionSlice> slices);

// What a graph is for: a padded input that has been bound.
struct GraphKey {
  uint32_t rows = 0;
  uint32_t context_tokens = 0;
  uint32_t form = 0;

  auto operator<=>(const GraphKey&) const = default;
};

class DecodeGraphs {
 public:
  DecodeGraphs() = default;
  // For steps of up to `rows_max` rows, padding included.
  explicit DecodeGraphs(uint32_t rows_max);

  // Every slice has one row, all logits are wanted, and there is a bucket for it.
  bool Takes(const ForwardInput& input) const;

  // The input with its rows filled up to their bucket; valid until the next call. The added ones
  // write to storage.padding_block().
  ForwardInput Pad(const ForwardInput& input, const KvStorage& storage);

  // Enqueues what `enqueue` enqueues for an input of this key, as a graph if there is one. The
  // first time it is enqueued as it is, the second time captured: steps that happen once are not
  // worth it, and kernels are loaded by then.
  template <typename Enqueue>
  void Run(const GraphKey& key, const KvStorage& storage, Stream& stream, const Enqueue& enqueue) {
    Entry* entry = Find(key, storage);
    if (entry == nullptr || entry->uses++ == 0 || !usable_) return enqueue();
    if (entry->graph == nullptr) {
      stream.BeginCapture();
      enqueue();
      Result<std::unique_ptr<Graph>> graph = stream.EndCapture();
      // Steps go on without graphs then; if the device is broken, the next wait for it says so.
      usable_ = graph.ok();
      if (!usable_) return enqueue();
      entry->graph = std::move(graph).Take();
    }
    stream.Launch(*entry->graph);
  }

  // How many graphs there are.
  size_t size() const;

 private:
  struct Entry {
    uint64_t uses = 0;
    std::unique_ptr<Graph> graph;
  };

  // nullptr: there are enough already.
  Entry* Find(const GraphKey& key, const KvStorage& storage);

  uint32_t rows_max_ = 0;
  bool usable_ = true;
  // The first layer's, whose addresses stand in the graphs. Not its storage: another one may lie
  // where that was.
  PagedKv cache_;
  std::map<GraphKey, Entry> entries_;

  // The padded input.
  std::vector<TokenId> tokens_;
  std::vector<uint32_t> positions_;
  std::vector<AttentionSlice> slices_;
  std::vector<uint32_t> logit_rows_;
  std::vector<BlockId> padding_;  // [groups]
};

}  // namespace infercept
