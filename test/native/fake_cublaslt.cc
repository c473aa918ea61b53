#include "fake_cublaslt.h"

#include "kernels/half.h"
#include "test.h"

namespace infercept::test {
namespace {

struct FakeLayout {
  int type;
  uint64_t rows;
  uint64_t columns;
  int64_t stride;
};

template <typename T>
int CreateFake(void** made, T* object) {
  *made = object;
  ++fake_cublaslt.objects;
  return 0;
}
template <typename T>
int DestroyFake(void* object) {
  delete static_cast<T*>(object);
  --fake_cublaslt.objects;
  return 0;
}

double At(const FakeLayout& layout, const void* values, uint64_t row, uint64_t column) {
  EXPECT_EQ(layout.type, 14);
  EXPECT_LT(row, layout.rows);
  EXPECT_LT(column, layout.columns);
  return ToFloat(
      static_cast<const BF16*>(values)[column * static_cast<uint64_t>(layout.stride) + row]);
}

int FakeMultiply(void*, void*, const void* alpha, const void* a, void* a_layout, const void* b,
                 void* b_layout, const void* beta, const void*, void*, void* d, void* d_layout,
                 const cuda::CublasLtAlgorithm* algorithm, void*, size_t workspace_bytes,
                 cuda::Stream) {
  ++fake_cublaslt.products;
  EXPECT_EQ(algorithm->data[0], 42u);
  EXPECT_EQ(*static_cast<const float*>(alpha), 1.0f);
  EXPECT_EQ(*static_cast<const float*>(beta), 0.0f);
  EXPECT_EQ(workspace_bytes, fake_cublaslt.workspace_bytes);
  EXPECT_TRUE(fake_cublaslt.transposes_a);
  const auto& as = *static_cast<const FakeLayout*>(a_layout);
  const auto& bs = *static_cast<const FakeLayout*>(b_layout);
  const auto& ds = *static_cast<const FakeLayout*>(d_layout);
  EXPECT_EQ(ds.type, 0);
  EXPECT_EQ(as.rows, bs.rows);
  for (uint64_t row = 0; row < ds.rows; ++row) {
    for (uint64_t column = 0; column < ds.columns; ++column) {
      double sum = 0;
      for (uint64_t i = 0; i < as.rows; ++i) sum += At(as, a, i, row) * At(bs, b, i, column);
      static_cast<float*>(d)[column * static_cast<uint64_t>(ds.stride) + row] =
          static_cast<float>(sum);
    }
  }
  return 0;
}

}  // namespace

FakeCublasLt fake_cublaslt;

cuda::CublasLtFunctions FakeCublasLtFunctions() {
  return {.get_version = [] { return size_t{130002}; },
          .create = [](void** made) { return CreateFake(made, new int); },
          .destroy = DestroyFake<int>,
          .create_operation =
              [](void** made, int compute, int scale) {
                EXPECT_EQ(compute, 68);
                EXPECT_EQ(scale, 0);
                return CreateFake(made, new int);
              },
          .destroy_operation = DestroyFake<int>,
          .set_operation =
              [](void*, int attribute, const void* value, size_t bytes) {
                EXPECT_EQ(bytes, sizeof(int32_t));
                fake_cublaslt.transposes_a =
                    attribute == 3 && *static_cast<const int32_t*>(value) == 1;
                return 0;
              },
          .create_layout =
              [](void** made, int type, uint64_t rows, uint64_t columns, int64_t stride) {
                return CreateFake(made, new FakeLayout{type, rows, columns, stride});
              },
          .destroy_layout = DestroyFake<FakeLayout>,
          .create_preference = [](void** made) { return CreateFake(made, new int); },
          .destroy_preference = DestroyFake<int>,
          .set_preference =
              [](void*, int attribute, const void* value, size_t) {
                EXPECT_EQ(attribute, 1);
                fake_cublaslt.workspace_bytes = *static_cast<const uint64_t*>(value);
                return 0;
              },
          .choose =
              [](void*, void*, void*, void*, void*, void*, void*, int, cuda::CublasLtChoice* choice,
                 int* found) {
                ++fake_cublaslt.choices;
                choice->algorithm.data[0] = 42;
                *found = fake_cublaslt.knows_a_way ? 1 : 0;
                return 0;
              },
          .multiply = FakeMultiply};
}

}  // namespace infercept::test
