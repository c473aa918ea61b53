// Moves blocks between the tiers while a step computes: one thread per direction, as links are full
// duplex.
//
// Owner: the executor. All methods from its thread.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <span>
#include <thread>

#include "base/types.h"
#include "device/kv_storage.h"

namespace infercept {

struct CopyTimes {
  Nanos swap_out = 0;
  Nanos swap_in = 0;
};

class CopyEngine {
 public:
  explicit CopyEngine(const KvStorage& storage);

  // Begins both lists and returns; the lists must stay as they are until Wait. REQUIRES: nothing is
  // under way.
  void Start(std::span<const BlockCopy> swap_out, std::span<const BlockCopy> swap_in);
  // Returns when both are complete, with the time each took. Throws what a copy threw
  // (InternalError for an id that is not a block). Harmless when nothing is under way.
  CopyTimes Wait();
  // The same without a result, for unwinding.
  void Join() noexcept;

 private:
  // One direction: a thread that sleeps until it is given a list.
  class Lane {
   public:
    using CopyFunction = void (KvStorage::*)(std::span<const BlockCopy>) const;
    Lane(const KvStorage& storage, CopyFunction copy);
    ~Lane();
    Lane(const Lane&) = delete;
    Lane& operator=(const Lane&) = delete;
    void Start(std::span<const BlockCopy> copies);
    void Join() noexcept;
    Nanos Take();  // REQUIRES: joined. The last list's time; throws what its copying threw.

   private:
    void Loop();
    std::exception_ptr CopyAll(std::span<const BlockCopy> copies) const noexcept;

    const KvStorage& storage_;  // Constant after construction.
    const CopyFunction copy_;
    std::mutex mutex_;
    std::condition_variable changed_;
    // Guarded by mutex_.
    std::span<const BlockCopy> copies_;
    bool busy_ = false;
    bool stopping_ = false;
    Nanos duration_ = 0;          // of the last list
    std::exception_ptr failure_;  // of the last list
    std::thread thread_;          // Last: it uses the members above.
  };

  Lane out_;
  Lane in_;
};

}  // namespace infercept
