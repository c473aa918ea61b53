// Moves blocks between the tiers while a step computes: one stream per direction, as links are full
// duplex. A step's copies can be enqueued while those of the step before are under way: each has a
// slot of its own.
//
// Owner: the executor. All methods from its thread.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "base/types.h"
#include "device/kv_storage.h"
#include "engine/executor.h"

namespace infercept {

struct CopyTimes {
  Nanos swap_out = 0;
  Nanos swap_in = 0;
};

class CopyEngine {
 public:
  // kDevice. Both outlive the engine.
  static Result<CopyEngine> Create(const KvStorage& storage, Device& device);

  // Begins both lists, after that event if there is one. Throws InternalError for an id that is not
  // a block. REQUIRES: all work that touched these blocks, on either side, comes before the event,
  // or the host has waited for it; nothing is under way in the slot.
  void Start(uint32_t slot, std::span<const BlockCopy> swap_out, std::span<const BlockCopy> swap_in,
             const StreamEvent* after = nullptr);
  // Work enqueued there from now on begins when the slot's copies are complete.
  void HoldBack(uint32_t slot, Stream& stream) const;
  // Returns when both are complete, with the time each took. kDevice. Harmless when nothing is
  // under way.
  Result<CopyTimes> Wait(uint32_t slot);

 private:
  // One direction.
  struct Lane {
    static Result<Lane> Create(Device& device);
    // Copies between the two marks.
    template <typename Enqueue>
    void Start(uint32_t slot, std::span<const BlockCopy> copies, const StreamEvent* after,
               const Enqueue& enqueue);
    Result<Nanos> Wait(uint32_t slot);

    struct Marks {
      std::unique_ptr<StreamEvent> begin;
      std::unique_ptr<StreamEvent> end;
      bool busy = false;
    };
    std::array<Marks, kStepsUnderWayMax> slots;
    std::unique_ptr<Stream> stream;
  };

  CopyEngine(const KvStorage& storage, Lane out, Lane in);

  const KvStorage* storage_;
  Lane out_;
  Lane in_;
};

}  // namespace infercept
