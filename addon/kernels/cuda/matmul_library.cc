#include "kernels/cuda/matmul_library.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/cuda/weight_pack.h"

namespace infercept::cuda {
namespace {

bool MultiplyPanels(CublasLt& library, BF16Product product, const PackedWeight& weight,
                    std::span<std::byte> scratch, Stream stream) {
  const std::span<std::byte> panel = scratch.subspan(CublasLt::kWorkspaceBytes);
  const size_t fitting = panel.size() / (product.weight_stride * sizeof(uint16_t));
  IC_CHECK(fitting >= kTileRows);
  const auto panel_rows =
      static_cast<uint32_t>(std::min<size_t>(fitting, weight.rows + kTileRows) / kTileRows) *
      kTileRows;
  product.weights = panel.data();
  float* out = product.out;
  for (uint32_t first = 0; first < weight.rows; first += panel_rows) {
    product.rows = std::min(weight.rows - first, panel_rows);
    product.out = out + first;
    DequantizeToBF16({weight.dtype, weight.data + PackedBytes(weight.dtype, first, weight.columns),
                      product.rows, weight.columns},
                     panel.data(), product.weight_stride, stream);
    if (!library.Multiply(product, scratch.data(), stream)) return false;
  }
  return true;
}

}  // namespace

bool MatMulByLibrary(CublasLt& library, std::span<const Product> products, const BF16Rows& x,
                     uint32_t tokens, std::span<std::byte> scratch, Stream stream) {
  IC_CHECK(scratch.size() >= CublasLt::kWorkspaceBytes);
  for (const Product& product : products) {
    const PackedWeight& weight = product.weight;
    const BF16Product whole = {.weights = weight.data,
                               .weight_stride = PaddedColumns(weight.columns),
                               .x = x.values,
                               .x_stride = x.stride,
                               .out = product.out,
                               .out_stride = product.out_stride,
                               .rows = weight.rows,
                               .columns = weight.columns,
                               .tokens = tokens};
    const bool done = weight.dtype == DType::kBF16
                          ? library.Multiply(whole, scratch.data(), stream)
                          : MultiplyPanels(library, whole, weight, scratch, stream);
    if (!done) return false;
  }
  return true;
}

}  // namespace infercept::cuda
