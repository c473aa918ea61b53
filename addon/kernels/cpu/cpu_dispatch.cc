// Which instruction sets this machine runs, best first.
#include <algorithm>
#include <cstdlib>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/ops_table.h"

namespace infercept {
namespace {

using cpu::CpuOps;

// __builtin_cpu_supports asks cpuid and, for registers that the system must save, XGETBV.
std::vector<const Ops*> FindSupported() {
  std::vector<const Ops*> supported;
  static const CpuOps scalar(cpu::ScalarKernels());
  supported.push_back(&scalar);
  return supported;
}

}  // namespace

std::vector<const Ops*> SupportedOps() {
  static const std::vector<const Ops*> supported = FindSupported();
  return supported;
}

const Ops* FindOps(std::string_view isa) {
  if (isa.empty()) {
    const char* wanted = std::getenv("INFERCEPT_ISA");
    if (wanted == nullptr || *wanted == '\0') return SupportedOps().front();
    isa = wanted;
  }
  if (isa == ReferenceOps().isa()) return &ReferenceOps();
  for (const Ops* ops : SupportedOps()) {
    if (ops->isa() == isa) return ops;
  }
  return nullptr;
}

}  // namespace infercept
