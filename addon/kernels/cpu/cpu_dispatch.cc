// Which instruction sets this machine runs, best first.
#include <algorithm>
#include <cstdlib>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/ops_table.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace infercept {
namespace {

using cpu::CpuOps;

#if defined(__x86_64__)

// __builtin_cpu_supports asks cpuid and, for registers that the system must save, XGETBV.
bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

void AddVectorOps(std::vector<const Ops*>& supported) {
  static const CpuOps avx512bf16(cpu::Avx512Bf16Kernels());
  static const CpuOps avx512(cpu::Avx512Kernels());
  static const CpuOps avxvnni(cpu::AvxVnniKernels());
  static const CpuOps avx2(cpu::Avx2Kernels());
  if (HasAvx512() && __builtin_cpu_supports("avx512bf16")) supported.push_back(&avx512bf16);
  if (HasAvx512()) supported.push_back(&avx512);
  if (HasAvx2() && __builtin_cpu_supports("avxvnni")) supported.push_back(&avxvnni);
  if (HasAvx2()) supported.push_back(&avx2);
}

#elif defined(__aarch64__)

#if defined(__APPLE__)
bool HasFeature(const char* name) {
  int present = 0;
  size_t bytes = sizeof(present);
  return sysctlbyname(name, &present, &bytes, nullptr, 0) == 0 && present != 0;
}
bool HasDotProducts() { return HasFeature("hw.optional.arm.FEAT_DotProd"); }
bool HasMatrixProducts() { return HasFeature("hw.optional.arm.FEAT_I8MM"); }
#elif defined(__linux__)
bool HasDotProducts() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool HasMatrixProducts() { return (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; }
#else
bool HasDotProducts() { return false; }
bool HasMatrixProducts() { return false; }
#endif

void AddVectorOps(std::vector<const Ops*>& supported) {
  static const CpuOps neoni8mm(cpu::NeonI8mmKernels());
  static const CpuOps neondot(cpu::NeonDotKernels());
  static const CpuOps neon(cpu::NeonKernels());
  if (HasDotProducts() && HasMatrixProducts()) supported.push_back(&neoni8mm);
  if (HasDotProducts()) supported.push_back(&neondot);
  supported.push_back(&neon);
}

#else

void AddVectorOps(std::vector<const Ops*>&) {}

#endif

std::vector<const Ops*> FindSupported() {
  std::vector<const Ops*> supported;
  AddVectorOps(supported);
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
