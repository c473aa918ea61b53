#include "sched/sequence.h"

namespace infercept {

std::string_view StatusName(SequenceStatus status) {
  switch (status) {
    case SequenceStatus::kWaiting:
      return "waiting";
    case SequenceStatus::kRunning:
      return "running";
    case SequenceStatus::kPaused:
      return "paused";
    case SequenceStatus::kFinished:
      return "finished";
  }
  return "unknown";
}

std::string Sequence::DebugString() const {
  std::string text = "seq " + std::to_string(Index(id)) + " " + std::string(StatusName(status)) +
                     " tokens " + std::to_string(tokens.size()) + " computed " +
                     std::to_string(computed) + " blocks";
  for (uint32_t i = 0; i < blocks.size(); ++i) {
    const BlockRef ref = blocks[i];
    text += " " + (ref.on_device() ? std::to_string(Index(ref.device)) : std::string("-")) +
            (ref.on_host() ? "/h" + std::to_string(Index(ref.host)) : "");
  }
  return text;
}

}  // namespace infercept
