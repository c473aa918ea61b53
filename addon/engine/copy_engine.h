// Moves blocks between the tiers while a step computes: one stream per direction, as links are full
// duplex.
//
// Owner: the executor. All methods from its thread.
#pragma once

#include <memory>
#include <span>

#include "base/types.h"
#include "device/kv_storage.h"

namespace infercept {

struct CopyTimes {
  Nanos swap_out = 0;
  Nanos swap_in = 0;
};

class CopyEngine {
 public:
  // kDevice. Both outlive the engine.
  static Result<CopyEngine> Create(const KvStorage& storage, Device& device);

  // Begins both lists. Throws InternalError for an id that is not a block. REQUIRES: the host has
  // waited for all work that touched these blocks, on either side, and nothing is under way.
  void Start(std::span<const BlockCopy> swap_out, std::span<const BlockCopy> swap_in);
  // Work enqueued there from now on begins when the copies are complete.
  void HoldBack(Stream& stream) const;
  // Returns when both are complete, with the time each took. kDevice. Harmless when nothing is
  // under way.
  Result<CopyTimes> Wait();

 private:
  // One direction.
  struct Lane {
    static Result<Lane> Create(Device& device);
    // Copies between the two marks.
    template <typename Enqueue>
    void Start(std::span<const BlockCopy> copies, const Enqueue& enqueue);
    Result<Nanos> Wait();

    std::unique_ptr<Stream> stream;
    std::unique_ptr<StreamEvent> begin;
    std::unique_ptr<StreamEvent> end;
    bool busy = false;
  };

  CopyEngine(const KvStorage& storage, Lane out, Lane in);

  const KvStorage* storage_;
  Lane out_;
  Lane in_;
};

}  // namespace infercept
