#include "engine/copy_engine.h"

#include <utility>

namespace infercept {

Result<CopyEngine> CopyEngine::Create(const KvStorage& storage, Device& device) {
  Result<Lane> out = Lane::Create(device);
  if (!out.ok()) return out.status();
  Result<Lane> in = Lane::Create(device);
  if (!in.ok()) return in.status();
  return CopyEngine(storage, std::move(out).Take(), std::move(in).Take());
}

CopyEngine::CopyEngine(const KvStorage& storage, Lane out, Lane in)
    : storage_(&storage), out_(std::move(out)), in_(std::move(in)) {}

void CopyEngine::Start(uint32_t slot, std::span<const BlockCopy> swap_out,
                       std::span<const BlockCopy> swap_in, const StreamEvent* after) {
  IC_CHECK(!out_.slots[slot].busy && !in_.slots[slot].busy);
  out_.Start(slot, swap_out, after, [&] { storage_->CopyOut(swap_out, *out_.stream); });
  in_.Start(slot, swap_in, after, [&] { storage_->CopyIn(swap_in, *in_.stream); });
}

void CopyEngine::HoldBack(uint32_t slot, Stream& stream) const {
  if (out_.slots[slot].busy) stream.Wait(*out_.slots[slot].end);
  if (in_.slots[slot].busy) stream.Wait(*in_.slots[slot].end);
}

Result<CopyTimes> CopyEngine::Wait(uint32_t slot) {
  const Result<Nanos> out = out_.Wait(slot);
  const Result<Nanos> in = in_.Wait(slot);  // also when the other one failed: nothing stays behind
  if (!out.ok()) return out.status();
  if (!in.ok()) return in.status();
  return CopyTimes{.swap_out = out.value(), .swap_in = in.value()};
}

Result<CopyEngine::Lane> CopyEngine::Lane::Create(Device& device) {
  Result<std::unique_ptr<Stream>> stream = device.CreateStream(StreamUse::kCopy);
  if (!stream.ok()) return stream.status();
  Lane lane;
  lane.stream = std::move(stream).Take();
  for (Marks& marks : lane.slots) {
    for (std::unique_ptr<StreamEvent>* mark : {&marks.begin, &marks.end}) {
      Result<std::unique_ptr<StreamEvent>> event = device.CreateEvent();
      if (!event.ok()) return event.status();
      *mark = std::move(event).Take();
    }
  }
  return lane;
}

template <typename Enqueue>
void CopyEngine::Lane::Start(uint32_t slot, std::span<const BlockCopy> copies,
                             const StreamEvent* after, const Enqueue& enqueue) {
  if (copies.empty()) return;
  Marks& marks = slots[slot];
  if (after != nullptr) stream->Wait(*after);
  stream->Record(*marks.begin);
  enqueue();
  stream->Record(*marks.end);
  marks.busy = true;
}

Result<Nanos> CopyEngine::Lane::Wait(uint32_t slot) {
  Marks& marks = slots[slot];
  if (!std::exchange(marks.busy, false)) return Nanos{0};
  if (Status status = marks.end->Synchronize(); !status.ok()) return status;
  return marks.end->ElapsedSince(*marks.begin);
}

}  // namespace infercept
