#include "sched/event.h"

namespace infercept {

std::string_view SourceName(WaitEstimate::Source source) {
  switch (source) {
    case WaitEstimate::Source::kAnnounced:
      return "announced";
    case WaitEstimate::Source::kLearned:
      return "learned";
    case WaitEstimate::Source::kElapsed:
      return "elapsed";
  }
  return "unknown";
}

}  // namespace infercept
