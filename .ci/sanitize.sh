#!/usr/bin/env bash
# The native tests under AddressSanitizer and UBSan, and those with threads under ThreadSanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

build() { # folder, sanitizers, tests
  mkdir -p "$1"
  # Lines for stack traces are all that is needed of debug symbols.
  if ! { cmake -S . -B "$1" -DCMAKE_BUILD_TYPE=Sanitize -DCMAKE_CXX_FLAGS_SANITIZE='-O1 -g1' -DINFERCEPT_TESTS=ON \
    -DINFERCEPT_SANITIZE="$2" -DINFERCEPT_TESTS_ONLY="${3-}" &&
    cmake --build "$1" --target infercept_test -j 2; } >"$1/build.log" 2>&1; then
    tail -n 60 "$1/build.log"
    exit 1
  fi
}

build build-asan address,undefined
ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ctest --test-dir build-asan -j 2 --output-on-failure

build build-tsan thread 'thread_pool;cpu_device;copy_engine;model_executor;engine'
# The scalar kernels: the others are not instrumented.
INFERCEPT_ISA=scalar TSAN_OPTIONS=halt_on_error=1 ctest --test-dir build-tsan -j 2 --output-on-failure
