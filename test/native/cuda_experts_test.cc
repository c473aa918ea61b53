// Goal: on a device tokens get the right experts, experts the right rows of inputs and tokens the
// sum of what their experts computed, whatever the shapes and choices: with every length of tiles,
// experts that all chose and that nobody did. Method: in emulation, against the ops of the host and
// against the reference in double.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "cuda_matmul_support.h"
#include "kernels/cuda/expert_tiles.h"
#include "test.h"

namespace infercept::test {
namespace {

using cuda::ExpertStep;
using cuda::ExpertTile;

// Steps with every length of tiles, numbered in both ways.
constexpr ExpertStep kSteps[] = {{1, 4, 2}, {5, 1, 1},  {8, 3, 3},  {13, 6, 2}, {16, 128, 8},
                                 {9, 3, 2}, {17, 2, 1}, {70, 2, 1}, {67, 3, 2}, {131, 3, 2}};
static_assert(cuda::ExpertTileTokens(kSteps[0]) == 8);
static_assert(cuda::ExpertTileTokens(kSteps[3]) == 16);
static_assert(cuda::ExpertTileTokens(kSteps[6]) == 64);
static_assert(cuda::ExpertTileTokens(kSteps[9]) == 128);
static_assert(cuda::NumbersTilesByPlace(kSteps[0]) && !cuda::NumbersTilesByPlace(kSteps[9]));

std::string Name(const ExpertStep& step) {
  return std::to_string(step.tokens) + " tokens, " + std::to_string(step.used) + " of " +
         std::to_string(step.experts) + " experts";
}

// Different ones for each token; every other token takes the first ones, and where there are more
// than are used, nobody takes the last.
std::vector<uint32_t> RandomChoices(Random& random, const ExpertStep& step) {
  const uint32_t open = std::max(step.used, step.experts - 1);
  std::vector<uint32_t> chosen;
  for (uint32_t t = 0; t < step.tokens; ++t) {
    const uint32_t first = t % 2 == 0 ? 0 : random.Below(open);
    for (uint32_t i = 0; i < step.used; ++i) chosen.push_back((first + i) % open);
  }
  return chosen;
}

struct Places {
  std::vector<uint32_t> rows;
  std::vector<uint32_t> of_choices;
};

Places ExpectedPlaces(std::vector<uint32_t> chosen, const ExpertStep& step) {
  Places places{std::vector<uint32_t>(step.places()), std::vector<uint32_t>(step.places())};
  AlignedBytes bounds(ReferenceOps().ExpertBoundsBytes(step.tokens, step.experts, step.used));
  ReferenceOps().AssignPlaces({.experts = step.experts,
                               .used = step.used,
                               .chosen = chosen.data(),
                               .rows = places.rows.data(),
                               .places = places.of_choices.data(),
                               .bounds = bounds.span().data()},
                              step.tokens);
  return places;
}

// As AssignPlaces leaves them.
struct Assigned {
  Assigned(const std::vector<uint32_t>& choices, const ExpertStep& step)
      : chosen(choices),
        rows(step.places(), UINT32_MAX),
        of_choices(step.places(), UINT32_MAX),
        tiles(cuda::ExpertTileCount(step), ExpertTile{UINT32_MAX, 0, UINT32_MAX}) {
    cuda::AssignPlaces({chosen.data(), rows.data(), of_choices.data(), tiles.data()}, step,
                       kNullStream);
  }

  const DeviceArray<uint32_t> chosen;
  DeviceArray<uint32_t> rows;
  DeviceArray<uint32_t> of_choices;
  DeviceArray<ExpertTile> tiles;
};

void ExpectSameChoice(const std::vector<float>& scores, uint32_t experts, uint32_t used,
                      bool normalized, const std::string& what) {
  const auto tokens = static_cast<uint32_t>(scores.size()) / experts;
  std::vector<uint32_t> chosen(size_t{tokens} * used);
  std::vector<float> weights(chosen.size());
  ReferenceOps().ChooseExperts(
      {scores.data(), experts, used, normalized, chosen.data(), weights.data()}, tokens);
  const DeviceArray<float> device_scores(scores);
  DeviceArray<uint32_t> device_chosen(chosen.size(), UINT32_MAX);
  DeviceArray<float> device_weights(weights.size(), NAN);
  cuda::ChooseExperts({device_scores.data(), experts, used, normalized, device_chosen.data(),
                       device_weights.data()},
                      tokens, kNullStream);
  EXPECT_TRUE(device_chosen.Read() == chosen) << what;
  // Each exponential within two units in the last place, and a tree of additions.
  std::vector<double> tolerance;
  for (const float weight : weights) tolerance.push_back(32 * kEpsilon * weight);
  ExpectClose(weights, device_weights.Read(), tolerance, what);
}

// A matrix of every expert, one behind the other, and their biases.
struct Experts {
  Experts(Random& random, DType dtype, uint32_t count, uint32_t rows, uint32_t columns) {
    std::vector<std::byte> packed;
    for (uint32_t e = 0; e < count; ++e) {
      const Matrix& matrix = matrices.emplace_back(MakeMatrix(random, dtype, rows, columns));
      std::vector<std::byte> one(cuda::PackedBytes(dtype, rows, columns));
      cuda::Pack(matrix.view(), one);
      // What lies between matrices is no weight: all its bits set are no number.
      weight_bytes = DivCeil(one.size() + 1, size_t{64}) * 64;
      one.resize(weight_bytes, std::byte{0xFF});
      packed.insert(packed.end(), one.begin(), one.end());
    }
    weights = DeviceArray<std::byte>(packed);
    biases = random.Activations(size_t{count} * bias_stride(rows));
    device_biases = DeviceArray<float>(biases);
  }

  static size_t bias_stride(uint32_t rows) { return rows + 5; }
  cuda::ExpertProduct Product(float* out, bool has_bias) const {
    const Matrix& first = matrices.front();
    return {.product = {{first.dtype, weights.data(), first.rows, first.columns}, out, first.rows},
            .weight_bytes = weight_bytes,
            .bias = has_bias ? device_biases.data() : nullptr,
            .bias_stride = bias_stride(first.rows)};
  }

  std::vector<Matrix> matrices;
  size_t weight_bytes = 0;
  DeviceArray<std::byte> weights;
  std::vector<float> biases;
  DeviceArray<float> device_biases;
};

// x has a row for each place.
std::vector<float> Multiply(const Experts& experts, const std::vector<float>& x,
                            const std::vector<uint32_t>& chosen, const ExpertStep& step,
                            bool has_bias) {
  const Matrix& first = experts.matrices.front();
  const Assigned assigned(chosen, step);
  const Inputs inputs(x, step.places(), first.columns);
  DeviceArray<float> out(size_t{step.places()} * first.rows, NAN);
  const cuda::ExpertProduct product = experts.Product(out.data(), has_bias);
  cuda::MatMulExperts({&product, 1}, inputs.rows(), assigned.tiles.data(), step, kNullStream);
  return out.Read();
}

// Calls body(expert, first place, places) for every expert with places.
template <typename Body>
void ForEachExpert(const std::vector<uint32_t>& chosen, const ExpertStep& step, const Body& body) {
  size_t first = 0;
  for (uint32_t e = 0; e < step.experts; ++e) {
    const auto count = static_cast<uint32_t>(std::ranges::count(chosen, e));
    if (count > 0) body(e, first, count);
    first += count;
  }
}

void AddBiases(const Experts& experts, uint32_t expert, std::vector<float>& out) {
  const uint32_t rows = experts.matrices.front().rows;
  const float* bias = experts.biases.data() + expert * Experts::bias_stride(rows);
  for (size_t i = 0; i < out.size(); ++i) out[i] += bias[i % rows];
}

}  // namespace

TEST(CudaChooseExperts, ChoosesAsTheHostDoes) {
  ForEachOrder([](const std::string& order) {
    Random random(71);
    for (const auto& [experts, used] :
         {std::pair{1u, 1u}, {4u, 2u}, {5u, 5u}, {33u, 4u}, {128u, 8u}, {300u, 40u}}) {
      const std::vector<float> scores = random.Activations(size_t{11} * experts);
      for (const bool normalized : {true, false}) {
        ExpectSameChoice(scores, experts, used, normalized,
                         order + " " + std::to_string(used) + " of " + std::to_string(experts));
      }
    }
  });
}

TEST(CudaChooseExperts, TakesTheFirstOfEqualScores) {
  std::vector<float> scores(3 * 40, -1.0f);
  for (const uint32_t e : {3u, 35u, 36u}) scores[e] = 2;
  std::fill_n(scores.begin() + 40, 40, -INFINITY);
  scores[40 + 38] = 0;
  ExpectSameChoice(scores, 40, 4, true, "equal scores");
}

// Scores that are no numbers give weights that are none, and still experts that there are.
TEST(CudaChooseExperts, ChoosesExpertsWhateverTheScores) {
  const DeviceArray<float> scores(size_t{2} * 5, NAN);
  DeviceArray<uint32_t> chosen(6, UINT32_MAX);
  DeviceArray<float> weights(6, 0.0f);
  cuda::ChooseExperts({scores.data(), 5, 3, true, chosen.data(), weights.data()}, 2, kNullStream);
  EXPECT_TRUE(chosen.Read() == (std::vector<uint32_t>{0, 1, 2, 0, 1, 2}));
}

TEST(CudaAssignPlaces, PutsTheRowsOfEachExpertSideBySide) {
  ForEachOrder([](const std::string& order) {
    Random random(72);
    for (const ExpertStep& step : kSteps) {
      const std::vector<uint32_t> chosen = RandomChoices(random, step);
      const Assigned assigned(chosen, step);
      const Places expected = ExpectedPlaces(chosen, step);
      EXPECT_TRUE(assigned.rows.Read() == expected.rows) << order << " " << Name(step);
      EXPECT_TRUE(assigned.of_choices.Read() == expected.of_choices) << order << " " << Name(step);
    }
  });
}

// Every place is in one tile, which is its expert's and no longer than it may be.
TEST(CudaAssignPlaces, CutsTheRowsOfEachExpertIntoTiles) {
  Random random(73);
  for (const ExpertStep& step : kSteps) {
    EXPECT_LE(cuda::ExpertTileCount(step), cuda::ExpertTileCountMax(step));
    const std::vector<uint32_t> chosen = RandomChoices(random, step);
    const Assigned assigned(chosen, step);
    std::vector<uint32_t> owners(step.places(), UINT32_MAX);
    for (const ExpertTile& tile : assigned.tiles.Read()) {
      for (uint32_t place = tile.first; place < tile.end && place < owners.size(); ++place) {
        EXPECT_LT(place - tile.first, cuda::ExpertTileTokens(step)) << Name(step);
        EXPECT_EQ(owners[place], UINT32_MAX) << Name(step);
        owners[place] = tile.expert;
      }
    }
    ForEachExpert(chosen, step, [&](uint32_t expert, size_t first, uint32_t count) {
      for (size_t place = first; place < first + count; ++place) {
        EXPECT_EQ(owners[place], expert) << Name(step) << ", place " << place;
      }
    });
  }
}

// The shortest tiles and the longest, of a dtype that both kinds of kernels know and one that only
// those for few tokens do.
TEST(CudaMatMulExperts, AgreesWithTheReference) {
  Random random(74);
  for (const DType dtype : {DType::kMXFP4, DType::kF32}) {
    for (const ExpertStep& step : {kSteps[3], kSteps[9]}) {
      const Experts experts(random, dtype, step.experts, 37, 288);
      const std::vector<uint32_t> chosen = RandomChoices(random, step);
      const std::vector<float> x = random.Activations(size_t{step.places()} * 288);
      const std::vector<float> found = Multiply(experts, x, chosen, step, false);
      ForEachExpert(chosen, step, [&](uint32_t expert, size_t first, uint32_t count) {
        const auto from = x.begin() + static_cast<ptrdiff_t>(first * 288);
        const std::vector<float> seen = Rounded({from, from + count * 288});
        const auto out = found.begin() + static_cast<ptrdiff_t>(first * 37);
        const Matrix& matrix = experts.matrices[expert];
        ExpectClose(MatMul(ReferenceOps(), matrix, seen, count), {out, out + count * 37},
                    Tolerance(matrix, seen, count),
                    Name(step) + " " + std::string(DTypeName(dtype)));
      });
    }
  }
}

// Of every dtype, with biases; and of one, whatever the length of tiles.
TEST(CudaMatMulExperts, HasTheBitsOfAProductPerExpert) {
  const auto expect = [](Random& random, DType dtype, const ExpertStep& step, uint32_t columns) {
    const Experts experts(random, dtype, step.experts, 20, WholeBlocks(dtype, columns));
    const uint32_t width = experts.matrices.front().columns;
    const std::vector<uint32_t> chosen = RandomChoices(random, step);
    const std::vector<float> x = random.Activations(size_t{step.places()} * width);
    const std::vector<float> found = Multiply(experts, x, chosen, step, true);
    ForEachExpert(chosen, step, [&](uint32_t expert, size_t first, uint32_t count) {
      const auto from = x.begin() + static_cast<ptrdiff_t>(first * width);
      const Inputs inputs({from, from + count * width}, count, width);
      const Matrix& matrix = experts.matrices[expert];
      const DeviceArray<std::byte> packed = PackOnDevice(matrix);
      DeviceArray<float> out(size_t{count} * 20, NAN);
      const cuda::Product product{{dtype, packed.data(), 20, width}, out.data(), 20};
      cuda::MatMulFew({&product, 1}, inputs.rows(), count, kNullStream);
      std::vector<float> expected = out.Read();
      AddBiases(experts, expert, expected);
      ExpectSameBits(expected, std::span(found).subspan(first * 20, count * 20),
                     Name(step) + " " + std::string(DTypeName(dtype)));
    });
  };
  Random random(75);
  for (const DType dtype : kWeightDTypes) {
    for (const ExpertStep& step : {ExpertStep{5, 4, 2}, ExpertStep{20, 2, 1}}) {
      expect(random, dtype, step, 288);
    }
  }
  for (const ExpertStep& step : kSteps) {
    if (step.experts <= 6) expect(random, DType::kQ4_0, step, 64);
  }
}

// Inner accesses in every order of threads: what blocks without tokens skip, others wait for.
TEST(CudaMatMulExperts, ProductsInOneCallAreThoseOfSeveral) {
  ForEachOrder([](const std::string& order) {
    Random random(76);
    for (const ExpertStep& step : {ExpertStep{3, 4, 2}, ExpertStep{18, 3, 1}}) {
      const Experts gate(random, DType::kMXFP4, step.experts, 20, 64);
      const Experts up(random, DType::kMXFP4, step.experts, 35, 64);
      const std::vector<uint32_t> chosen = RandomChoices(random, step);
      const std::vector<float> x = random.Activations(size_t{step.places()} * 64);
      const Assigned assigned(chosen, step);
      const Inputs inputs(x, step.places(), 64);
      DeviceArray<float> gates(size_t{step.places()} * 20, NAN);
      DeviceArray<float> ups(size_t{step.places()} * 35, NAN);
      const cuda::ExpertProduct products[] = {gate.Product(gates.data(), true),
                                              up.Product(ups.data(), false)};
      cuda::MatMulExperts(products, inputs.rows(), assigned.tiles.data(), step, kNullStream);
      ExpectSameBits(Multiply(gate, x, chosen, step, true), gates.Read(), order + " gate");
      ExpectSameBits(Multiply(up, x, chosen, step, false), ups.Read(), order + " up");
    }
  });
}

TEST(CudaMixRows, AddsWeightedRows) {
  ForEachOrder([](const std::string& order) {
    Random random(77);
    for (const uint32_t width : {1u, 3u, 4u, 130u, 1028u}) {
      for (const uint32_t used : {1u, 3u, 8u}) {
        constexpr uint32_t kTokens = 5;
        const std::vector<float> x = random.Activations(size_t{kTokens} * used * width);
        const std::vector<float> weights = random.Activations(size_t{kTokens} * used);
        std::vector<uint32_t> places;
        for (uint32_t i = 0; i < kTokens * used; ++i)
          places.push_back(random.Below(kTokens * used));
        std::vector<float> expected;
        std::vector<double> tolerance;
        for (size_t t = 0; t < kTokens; ++t) {
          for (uint32_t c = 0; c < width; ++c) {
            double sum = 0;
            double magnitude = 0;
            for (size_t i = t * used; i < (t + 1) * used; ++i) {
              const double term = double{weights[i]} * x[size_t{places[i]} * width + c];
              sum += term;
              magnitude += std::abs(term);
            }
            expected.push_back(static_cast<float>(sum));
            tolerance.push_back((used + 1) * kEpsilon * magnitude);
          }
        }
        const DeviceArray<float> device_x(x);
        const DeviceArray<float> device_weights(weights);
        const DeviceArray<uint32_t> device_places(places);
        DeviceArray<float> out(expected.size(), NAN);
        cuda::MixRows(
            {device_x.data(), device_places.data(), device_weights.data(), used, width, out.data()},
            kTokens, kNullStream);
        ExpectClose(expected, out.Read(), tolerance, order + " width " + std::to_string(width));
      }
    }
  });
}

TEST(CudaConvertRowsToBF16, TakesTheRowsThatAreAskedFor) {
  Random random(78);
  const std::vector<float> x = random.Activations(4 * 37);
  const std::vector<uint32_t> rows = {3, 0, 0, 2, 3};
  const DeviceArray<float> device_x(x);
  const DeviceArray<uint32_t> device_rows(rows);
  DeviceArray<BF16> out(rows.size() * 64, BF16{0xFFFF});
  cuda::ConvertRowsToBF16(device_x.data(), device_rows.data(), 5, 37, out.data(), 64, kNullStream);
  const std::vector<BF16> values = out.Read();
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t c = 0; c < 64; ++c) {
      EXPECT_EQ(values[i * 64 + c], c < 37 ? ToBF16(x[rows[i] * 37 + c]) : BF16{0});
    }
  }
}

TEST(CudaExperts, WrongShapesThrow) {
  DeviceArray<uint32_t> numbers(64, 0u);
  DeviceArray<float> floats(64, 0.0f);
  DeviceArray<ExpertTile> tiles(64, ExpertTile{});
  const auto choose = [&](uint32_t experts, uint32_t used) {
    cuda::ChooseExperts({floats.data(), experts, used, true, numbers.data(), floats.data()}, 1,
                        kNullStream);
  };
  EXPECT_THROW(choose(4, 5), InternalError);
  EXPECT_THROW(choose(4, 0), InternalError);
  const cuda::ExpertAssignment assignment = {numbers.data(), numbers.data(), numbers.data(),
                                             tiles.data()};
  EXPECT_THROW(cuda::AssignPlaces(assignment, {1, 2, 3}, kNullStream), InternalError);
  EXPECT_THROW(
      cuda::MixRows({floats.data(), nullptr, floats.data(), 1, 4, floats.data()}, 1, kNullStream),
      InternalError);
  DeviceArray<std::byte> weights(4096, std::byte{0});
  const auto multiply = [&](size_t weight_bytes, const ExpertTile* of) {
    const cuda::ExpertProduct product = {
        .product = {{DType::kQ8_0, weights.data(), 1, 64}, floats.data(), 1},
        .weight_bytes = weight_bytes};
    cuda::MatMulExperts({&product, 1}, {weights.data(), 64}, of, {1, 2, 1}, kNullStream);
  };
  EXPECT_THROW(multiply(24, tiles.data()), InternalError);
  EXPECT_THROW(multiply(1088, nullptr), InternalError);
}

}  // namespace infercept::test
