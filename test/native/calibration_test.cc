// Calibration: samples of several sizes of both sorts, in bounded time. Machines of any speed are
// made up, with a clock that counts what they answer; the real one is only asked whether it
// answers.
#include "engine/calibration.h"

#include "engine/machine_probe.h"
#include "test.h"
#include "tiny_model.h"

namespace infercept {
namespace {

using test::TinyModel;

constexpr Nanos kBudget = 250'000'000;
constexpr Nanos kMilli = 1'000'000;

// Answers from a cost profile, `slowness` times slower, and adds up the time.
struct MadeUpMachine {
  CostProfile profile{2e-3, 1e-4, 1e-8, {20e-6, 20e-6}, {50e-6, 40e-6}};
  double slowness = 1;
  Nanos spent = 0;

  Nanos Spend(double seconds) {
    const auto duration = static_cast<Nanos>(seconds * slowness * 1e9);
    spent += duration;
    return duration;
  }
  CostProbe Probe() {
    return {.step_tokens_max = 512,
            .context_tokens_max = 4096,
            .copy_blocks_max = 16,
            .step =
                [this](const ProbedStep& step) {
                  const double query = step.slices * step.count;
                  const double kv = query * (step.context - (step.count - 1) / 2.0);
                  return Spend(CostModel(profile).Forward(query, kv));
                },
            .copy =
                [this](CopyDirection direction, uint32_t blocks) {
                  return Spend(CostModel(profile).Copy(direction, blocks));
                }};
  }
};

// What is always asked for: a decode, a prefill of 16 tokens, and copies of one block.
Nanos LeastTime(const MadeUpMachine& machine) {
  const CostModel cost(machine.profile);
  const double copies = 4 * (cost.Copy(CopyDirection::kOut, 1) + cost.Copy(CopyDirection::kIn, 1));
  return static_cast<Nanos>(machine.slowness *
                            (cost.Forward(1, 1) + cost.Forward(16, 136) + copies) * 1e9);
}

}  // namespace

TEST(Calibration, TakesNoLongerThanItsBudgetAndTheLeastOnMachinesOfAnySpeed) {
  for (double per_kv_token : {1e-8, 1e-6}) {
    for (double slowness = 1e-4; slowness < 1e3; slowness *= 1.1) {
      MadeUpMachine machine{.slowness = slowness};
      machine.profile.per_kv_token = per_kv_token;
      Calibrate(machine.Probe(), kBudget);
      const Nanos least = LeastTime(machine);
      EXPECT_LE(machine.spent, kBudget + least) << "slowness " << slowness;
      // So half a second is enough wherever the least takes half of it.
      if (least <= kBudget) {
        EXPECT_LE(machine.spent, 500 * kMilli) << "slowness " << slowness;
      }
    }
  }
}

TEST(Calibration, FindsTheLineOfAMachineThatItHasTimeFor) {
  for (double slowness : {0.001, 0.1, 1.0, 5.0}) {
    MadeUpMachine machine{.slowness = slowness};
    const Calibration calibration = Calibrate(machine.Probe(), kBudget);
    CostModel cost;
    cost.Calibrate(calibration.forward, calibration.swap_out, calibration.swap_in);
    const CostModel truth(machine.profile);
    for (const auto& [query, kv] : {std::pair{1.0, 100.0}, {16.0, 30'000.0}, {200.0, 60'000.0}}) {
      EXPECT_NEAR(cost.Forward(query, kv) / (slowness * truth.Forward(query, kv)), 1, 0.02)
          << "slowness " << slowness << ", query tokens " << query;
    }
    for (const CopyDirection direction : {CopyDirection::kOut, CopyDirection::kIn}) {
      EXPECT_NEAR(cost.Copy(direction, 100) / (slowness * truth.Copy(direction, 100)), 1, 0.02)
          << "slowness " << slowness;
    }
  }
}

// A device computes beside reading: up to 200 tokens take as long as one.
TEST(Calibration, FindsWhereADeviceIsSaturated) {
  constexpr double kStep = 4e-3;
  constexpr double kToken = 20e-6;
  MadeUpMachine machine;
  CostProbe probe = machine.Probe();
  probe.step_tokens_max = 8192;
  probe.prefill_tokens_max = 8192;
  probe.query_tile = 128;
  const CostModel reads(CostProfile{.query_tile = 128});
  uint32_t asked_max = 0;
  probe.step = [&](const ProbedStep& step) {
    asked_max = std::max(asked_max, step.slices * step.count);
    const uint64_t read = step.slices * reads.KvReads(step.context - step.count, step.count);
    return machine.Spend(std::max(kStep, kToken * step.slices * step.count) +
                         1e-9 * static_cast<double>(read));
  };
  const Calibration calibration = Calibrate(probe, 1'000 * kMilli);
  CostModel cost;
  cost.Calibrate(calibration.forward, calibration.swap_out, calibration.swap_in);
  EXPECT_LE(machine.spent, 1'100 * kMilli);
  // S is where the line has grown threefold: 2 * 4 ms / 20 us.
  EXPECT_NEAR(cost.SaturationTokens() / 400.0, 1, 0.3);
  EXPECT_NEAR(cost.Forward(4096, 0) / (4096 * kToken), 1, 0.2);
  EXPECT_NEAR(cost.Forward(1, 0) / kStep, 1, 0.1);
  EXPECT_GE(asked_max, 800u);
  EXPECT_LE(asked_max, 4096u);
}

TEST(Calibration, LearnsWhatADecodeAndAPrefillTakeOnAMachineThatIsTooSlow) {
  MadeUpMachine machine{.slowness = 1e3};
  const Calibration calibration = Calibrate(machine.Probe(), kBudget);
  ASSERT_EQ(calibration.forward.size(), 2u);
  CostModel cost;
  cost.Calibrate(calibration.forward, calibration.swap_out, calibration.swap_in);
  const CostModel truth(machine.profile);
  EXPECT_NEAR(cost.Forward(1, 1) / (1e3 * truth.Forward(1, 1)), 1, 0.05);
  EXPECT_NEAR(cost.Forward(16, 136) / (1e3 * truth.Forward(16, 136)), 1, 0.05);
}

TEST(Calibration, AsksForNoCopiesWithoutAHostTierAndForNoStepsWithoutRoom) {
  MadeUpMachine machine;
  CostProbe probe = machine.Probe();
  probe.copy_blocks_max = 0;
  probe.context_tokens_max = 0;
  const Calibration calibration = Calibrate(probe, kBudget);
  EXPECT_TRUE(calibration.forward.empty() && calibration.swap_out.empty() &&
              calibration.swap_in.empty());
  EXPECT_EQ(machine.spent, 0);
}

TEST(Calibration, MeasuresTheMachineThatItRunsOn) {
  TinyModel tiny(*FindOps(""));
  CopyEngine copies = CopyEngine::Create(*tiny.storage, tiny.model->device()).Take();
  const Calibration calibration =
      Calibrate(MakeMachineProbe(*tiny.model, *tiny.storage, copies, tiny.pool), kBudget / 5);
  ASSERT_TRUE(calibration.forward.size() >= 2);
  for (const ForwardSample& sample : calibration.forward) {
    EXPECT_GT(sample.duration, 0);
    EXPECT_GE(sample.kv_tokens, sample.query_tokens);
  }
  ASSERT_TRUE(!calibration.swap_out.empty());
  ASSERT_TRUE(!calibration.swap_in.empty());
}

}  // namespace infercept
