#!/usr/bin/env bash
# The NEON kernels on any machine: cross-compiles the native tests for aarch64 and runs those that use kernels under
# QEMU. Root or sudo installs the compiler and the emulator (Debian, Ubuntu) where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=build-neon
# Tests that use kernels or what lies in memory as kernels take it, and end within a minute or two.
seconds='ops_attention;ops_elementwise;ops_matmul;attention_plan;dequantize;quantize;quantizing_source;kv_storage;model_executor;weights;thread_pool;copy_engine'
prefix=aarch64-linux-gnu
emulator=qemu-aarch64-static

if ! { command -v $prefix-g++ && command -v $emulator; } >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  $as_root apt-get install -qq -y --no-install-recommends g++-$prefix qemu-user-static >/dev/null
fi

mkdir -p $folder
if ! { cmake -S . -B $folder -DINFERCEPT_TESTS=ON -DINFERCEPT_TESTS_ONLY="$seconds;ops_invariance;model" \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=$prefix-gcc -DCMAKE_CXX_COMPILER=$prefix-g++ -DCMAKE_EXE_LINKER_FLAGS=-static \
  -DCMAKE_CROSSCOMPILING_EMULATOR=$emulator &&
  cmake --build $folder --target infercept_test -j 2; } >$folder/build.log 2>&1; then
  tail -n 60 $folder/build.log
  exit 1
fi

# The tests take every instruction set that the processor has: these must be among them, and no others.
cat >$folder/isas.cc <<'CODE'
#include <iostream>
#include "kernels/ops.h"
int main() {
  for (const infercept::Ops* ops : infercept::SupportedOps()) std::cout << ops->isa() << ' ';
}
CODE
$prefix-g++ -std=c++20 -static -Iaddon $folder/isas.cc $folder/libinfercept_core.a -o $folder/isas
expect() { # processor, instruction sets
  actual=$(QEMU_CPU=$1 $emulator $folder/isas)
  echo "$1: $actual"
  [ "$actual" = "$2 " ] || { echo "expected $2"; exit 1; }
}
expect cortex-a72 'neon scalar' # ARMv8.0
expect max 'neoni8mm neondot neon scalar'

# Without dot products first: nothing outside their own region may use ARMv8.2.
QEMU_CPU=cortex-a72 $emulator $folder/infercept_test --file ops_elementwise_test | tail -n 1
QEMU_CPU=max ctest --test-dir $folder -j 2 --output-on-failure -E 'native\.(ops_invariance|model)_test'

# Of these files only what takes seconds: emulated arithmetic is about a hundred times slower.
for filter in OpsInvariance.{MatMul,AddRmsNorm,SiluMultiply,AttentionDoesNotDependOn{Chunks,TheBlockSize}} \
  Model.{AgreesWith,WhichLogits,ThreadsDoNot}; do
  QEMU_CPU=max $emulator $folder/infercept_test --filter $filter
done
