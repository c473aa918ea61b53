// The real engine with a model of random weights, and sessions served by it in real time:
// interceptions are timers. Owner and thread: the benchmark; the engine has its own.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "sim/simulation.h"

namespace infercept::bench {

// What one run was like. Sessions that had not ended when it was stopped are as the simulation's:
// `finished` is -1.
struct ServedRun {
  SimReport report;  // stats are those of this run alone
  std::vector<StepRecord> steps;
};

class ServedEngine {
 public:
  // Loads, and uses every block once, with steps of many sizes: memory is there, graphs are
  // captured, and the cost model knows the machine. Throws what goes wrong.
  // REQUIRES: options.random_weights.
  ServedEngine(const Hyperparameters& hyperparameters, const RuntimeOptions& options);

  const EngineInfo& info() const { return info_; }
  // As calibrated, and refitted since.
  CostProfile profile() const { return engine_->Stats().cost; }

  // Serves until all have ended or so much time has passed; then nobody is left.
  ServedRun Serve(std::span<const SimSession> sessions, Nanos until);

 private:
  class Run;

  void Post(Command command);
  // Returns when there is something to take, or at this time.
  EventBatch TakeBefore(Nanos deadline);
  void AwaitLoaded();
  void WarmUp();

  const uint32_t vocabulary_size_;
  uint32_t next_id_ = 0;  // ids are unique for the engine's life
  EngineInfo info_;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool notified_ = false;  // Guarded by mutex_.

  std::unique_ptr<Engine> engine_;  // Last: notifies what stands above.
};

}  // namespace infercept::bench
