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

void CopyEngine::Start(std::span<const BlockCopy> swap_out, std::span<const BlockCopy> swap_in) {
  IC_CHECK(!out_.busy && !in_.busy);
  out_.Start(swap_out, [&] { storage_->CopyOut(swap_out, *out_.stream); });
  in_.Start(swap_in, [&] { storage_->CopyIn(swap_in, *in_.stream); });
}

void CopyEngine::HoldBack(Stream& stream) const {
  if (out_.busy) stream.Wait(*out_.end);
  if (in_.busy) stream.Wait(*in_.end);
}

Result<CopyTimes> CopyEngine::Wait() {
  const Result<Nanos> out = out_.Wait();
  const Result<Nanos> in = in_.Wait();  // also when the other one failed: nothing stays behind
  if (!out.ok()) return out.status();
  if (!in.ok()) return in.status();
  return CopyTimes{.swap_out = out.value(), .swap_in = in.value()};
}

Result<CopyEngine::Lane> CopyEngine::Lane::Create(Device& device) {
  Result<std::unique_ptr<Stream>> stream = device.CreateStream(StreamUse::kCopy);
  if (!stream.ok()) return stream.status();
  Result<std::unique_ptr<StreamEvent>> begin = device.CreateEvent();
  if (!begin.ok()) return begin.status();
  Result<std::unique_ptr<StreamEvent>> end = device.CreateEvent();
  if (!end.ok()) return end.status();
  Lane lane;
  lane.stream = std::move(stream).Take();
  lane.begin = std::move(begin).Take();
  lane.end = std::move(end).Take();
  return lane;
}

template <typename Enqueue>
void CopyEngine::Lane::Start(std::span<const BlockCopy> copies, const Enqueue& enqueue) {
  if (copies.empty()) return;
  stream->Record(*begin);
  enqueue();
  stream->Record(*end);
  busy = true;
}

Result<Nanos> CopyEngine::Lane::Wait() {
  if (!std::exchange(busy, false)) return Nanos{0};
  if (Status status = stream->Synchronize(); !status.ok()) return status;
  return end->ElapsedSince(*begin);
}

}  // namespace infercept
