#!/usr/bin/env bash
# Compiles all CUDA kernels for compute capability 8.0 and 9.0a; a warning, or a register that spills to memory, is an
# error. Needs no GPU. Takes nvcc from PATH or CUDACXX, else installs it from PyPI into a cache folder.
set -euo pipefail
cd "$(dirname "$0")/.."

version=13.0.88 # the newest that drivers of branch 580 run
cache=${INFERCEPT_CUDA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/infercept/cuda-$version}

nvcc=${CUDACXX:-$(command -v nvcc || true)}
if [ -z "$nvcc" ]; then
  nvcc=$cache/nvidia/cu13/bin/nvcc
  if [ ! -f "$cache/complete" ]; then
    rm -rf "$cache"
    python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --no-deps --target "$cache" \
      nvidia-cuda-{nvcc,crt}==$version nvidia-nvvm==$version nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
    ln -s lib "$cache/nvidia/cu13/lib64" # where nvcc looks for it
    touch "$cache/complete"
  fi
fi
"$nvcc" --version | tail -n 2 | head -n 1

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

compile() { # nvcc, source, folder
  local name
  name=$(basename "$2" .cu)
  if ! "$1" -std=c++20 -O3 -Iaddon --expt-relaxed-constexpr -Werror all-warnings -Xcompiler=-Wall,-Wextra,-Werror \
    -Xptxas -v -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a -c "$2" -o "$3/$name.o" \
    >"$3/$name.log" 2>&1; then
    grep -v '^ptxas info' "$3/$name.log"
    echo "$2 does not compile"
    return 1
  fi
  # ptxas says for each kernel "N bytes stack frame, N bytes spill stores, N bytes spill loads", after its name.
  if grep -B 1 -E '[1-9][0-9]* bytes spill' "$3/$name.log"; then
    echo "$2 spills registers"
    return 1
  fi
  echo "$2: $(grep -c 'Used [0-9]* registers' "$3/$name.log") kernels, at most \
$(grep -o 'Used [0-9]*' "$3/$name.log" | cut -d ' ' -f 2 | sort -n | tail -n 1) registers"
}
export -f compile

ls -S addon/kernels/cuda/*.cu | xargs -P 2 -I '{}' bash -c 'compile "$@"' compile "$nvcc" '{}' "$out"
