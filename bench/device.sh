#!/usr/bin/env bash
# Proves and measures the CUDA half on a machine with a GPU: builds it for that GPU, runs its tests there, the same under
# compute-sanitizer, then benchmarks. Needs cmake, a C++20 compiler, nvcc and a driver; no Node, no network.
#
#   bench/device.sh [--dry-run] [--again] [--build FOLDER] [PART...]
#
# Parts: tests sanitize kernels engine policies; without names all of them, in this order. What a part found is kept in
# FOLDER/parts, and a part that succeeded is not repeated: a run that was cut off goes on where it stopped (--again forgets
# what was found). At the end all of it is in one file, bench/results/DATE-device.json, with the measured machine as
# DATE-device-profile.json (for `infercept simulate --profile`) and ten steps as DATE-device-steps.json (a Chrome trace)
# beside it. After the build everything ends within ten minutes: each command has a limit of its own, and what they leave
# of that; the next run goes on.
#
# --dry-run is for a machine without a GPU: the kernels' tests run in emulation, the benchmarks ask the CPU through the same
# seam, with a tiny model, and the files stay in FOLDER, which may be one that was built in before.
set -euo pipefail
cd "$(dirname "$0")/.."

all_parts=(tests sanitize kernels engine policies)
# The tests that need no GPU and stand in for those that do.
emulated_tests=(fake_device_test device_executor_test decode_graphs_test launched_kernels_test)
for source in test/native/cuda_*_test.cc; do emulated_tests+=("$(basename "$source" .cc)"); done
dry_run=false
again=false
build=build-device
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=true ;;
    --again) again=true ;;
    --build) build=${2:?--build needs a folder}; shift ;;
    tests | sanitize | kernels | engine | policies) parts+=("$1") ;;
    *) echo "usage: bench/device.sh [--dry-run] [--again] [--build FOLDER] [${all_parts[*]}]" >&2; exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")
found=$build/parts
if $again; then rm -rf "$found"; fi
mkdir -p "$found"

time_limit=600 # seconds, after the build
began=0
limited() { # seconds at most, command...
  local limit=$1 left=$((time_limit - (SECONDS - began)))
  shift
  [ $left -gt 0 ] || { echo 'no time is left: run it again to go on' >&2; return 124; }
  timeout $((limit < left ? limit : left)) "$@"
}

quoted() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }
gpu() { nvidia-smi --id=0 --query-gpu="$1" --format=csv,noheader 2>/dev/null | head -n 1 || true; }

check_machine() {
  local tool missing=()
  for tool in cmake c++; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  if ! $dry_run; then
    command -v nvidia-smi >/dev/null && [ -n "$(gpu name)" ] || missing+=('a GPU that nvidia-smi shows')
    command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || [ -n "${CUDACXX:-}" ] || missing+=('nvcc (or CUDACXX)')
  fi
  [ ${#missing[@]} -eq 0 ] && return
  printf 'missing: %s\n' "${missing[@]}" >&2
  $dry_run || echo 'without a GPU: bench/device.sh --dry-run' >&2
  exit 1
}

# The GPU's own architecture alone: a third of the compile time. 9.0 has matrix instructions that only 9.0a names.
architecture() {
  local capability
  capability=$(gpu compute_cap | tr -d .)
  [ "$capability" = 90 ] && capability=90a
  echo "$capability-real"
}

build_targets() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DINFERCEPT_TESTS=ON -DINFERCEPT_BENCH=ON)
  local targets=(infercept_bench infercept_device_test)
  if $dry_run; then
    [ -f "$build/CMakeCache.txt" ] || options+=(-DINFERCEPT_CUDA=OFF)
    targets=(infercept_bench infercept_test)
  else
    options+=(-DINFERCEPT_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$(architecture)")
  fi
  if command -v ninja >/dev/null && [ ! -f "$build/CMakeCache.txt" ]; then options+=(-G Ninja); fi
  echo "building ${targets[*]} in $build"
  if ! { cmake -S . -B "$build" "${options[@]}" && cmake --build "$build" -j "${JOBS:-$(nproc)}" --target "${targets[@]}"; } \
    >"$build/build.log" 2>&1; then
    tail -n 40 "$build/build.log" >&2
    exit 1
  fi
}

# Runs a test program; prints {"passed":N,"failed":N,"seconds":N} and returns whether all passed.
count_tests() { # log, seconds at most, command...
  local log=$1 limit=$2 begin=$SECONDS status=0 last
  shift 2
  limited "$limit" "$@" >"$log" 2>&1 || status=$?
  last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
  if [ -z "$last" ] || [ $status -ne 0 ]; then grep -vE '^ok ' "$log" | tail -n 20 >&2 || true; fi
  [ -n "$last" ] || { echo '{"ok":false,"reason":"the tests did not come to an end"}'; return 1; }
  read -r passed _ failed _ <<<"$last"
  printf '{"ok":%s,"passed":%d,"failed":%d,"seconds":%d}\n' "$([ $status -eq 0 ] && echo true || echo false)" \
    "$passed" "$failed" $((SECONDS - begin))
  return $status
}

skipped() { printf '{"skipped":%s}\n' "$(quoted "$1")"; }

# Runs count_tests for each NAME of the list and joins what it prints: {"NAME":{...},...}.
count_each() { # command that takes a name, names...
  local command=$1 name results=() status=0
  shift
  for name in "$@"; do
    results+=("$(quoted "$name"):$("$command" "$name")") || status=1
  done
  (IFS=,; echo "{${results[*]}}")
  return $status
}

emulated() { count_tests "$found/$1.log" 200 "$build/infercept_test" --file "$1"; }
sanitized() {
  count_tests "$found/$1.log" 150 compute-sanitizer --tool "$1" --error-exitcode 1 "$build/infercept_device_test"
}

part_tests() {
  if $dry_run; then
    count_each emulated "${emulated_tests[@]}"
  else
    count_tests "$found/tests.log" 180 "$build/infercept_device_test"
  fi
}

part_sanitize() {
  local counts status=0
  if $dry_run; then
    skipped 'needs a GPU; .ci/sanitize.sh runs the same tests in emulation under AddressSanitizer'
    return
  fi
  command -v compute-sanitizer >/dev/null || { skipped 'compute-sanitizer is not installed'; return; }
  counts=$(count_each sanitized memcheck racecheck) || status=$?
  if grep -q 'Device not supported' "$found"/{memcheck,racecheck}.log; then
    skipped 'compute-sanitizer does not support this device or its container'
    return
  fi
  echo "$counts"
  return $status
}

part_kernels() {
  local options=(--device cuda)
  if $dry_run; then options=(--device cpu --quick); fi
  bench_json kernels 120 device "${options[@]}"
}

# Runs a benchmark; prints the JSON that it prints last.
bench_json() { # log, seconds at most, arguments...
  local log=$found/$1.log limit=$2
  shift 2
  limited "$limit" "$build/infercept_bench" "$@" --json >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; echo '{"ok":false}'; return 1; }
  tail -n 1 "$log"
}

# A whole model of random weights, by shape and type.
bench_model() { # SHAPE-TYPE
  local options=(--device cuda --quick)
  if $dry_run; then options=(--device cpu --quick); fi
  bench_json "model-$1" 100 model --shape "${1%-*}" --type "${1##*-}" "${options[@]}"
}

# Its steps against the reference and its stories against each other, then its speed.
part_engine() {
  local program=$build/infercept_device_test tests speeds status=0
  local models=(llama3-8b-bf16 llama3-8b-q8_0 llama3-8b-q4_k gpt-j-6b-bf16 vicuna-13b-bf16 llama3-70b-q4_k)
  if $dry_run; then program=$build/infercept_test models=(tiny-q4_0); fi
  tests=$(count_tests "$found/model.log" 120 "$program" --file cuda_model_test) || status=$?
  speeds=$(count_each bench_model "${models[@]}") || status=$?
  printf '{"tests":%s,"speeds":%s}\n' "$tests" "$speeds"
  return $status
}

# Sessions with interceptions, real and simulated.
part_policies() {
  local options=(--device cuda)
  if $dry_run; then options=(--device cpu --quick --seconds 2); fi
  bench_json policies 280 policies "${options[@]}" --save-profile "$found/profile" --trace "$found/steps"
}

run_part() {
  local part=$1 result=$found/$1.json status=0
  if [ -f "$result" ]; then
    echo "$part: done before"
    return
  fi
  echo "$part ..."
  "part_$part" >"$result.new" || status=$?
  echo "$part: $(cat "$result.new")"
  # What failed or was skipped is tried again the next time.
  if [ $status -eq 0 ] && ! grep -q '"skipped"' "$result.new"; then mv "$result.new" "$result"; fi
  return $status
}

write_result() {
  local part target=bench/results/$(date -u +%F)-device.json separator=''
  if $dry_run; then target=$build/dry-run.json; fi
  {
    printf '{"date":%s,"dryRun":%s,"commit":%s,' "$(quoted "$(date -u +%FT%TZ)")" $dry_run \
      "$(quoted "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)")"
    printf '"machine":{"gpu":%s,"driver":%s,"memory":%s,"clockMax":%s,"powerLimit":%s,"processor":%s,"system":%s},"parts":{' \
      "$(quoted "$(gpu name)")" "$(quoted "$(gpu driver_version)")" "$(quoted "$(gpu memory.total)")" \
      "$(quoted "$(gpu clocks.max.sm)")" "$(quoted "$(gpu power.limit)")" \
      "$(quoted "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)")" "$(quoted "$(uname -sr)")"
    for part in "${all_parts[@]}"; do
      for file in "$found/$part.json" "$found/$part.json.new"; do
        [ -s "$file" ] || continue
        printf '%s%s:%s' "$separator" "$(quoted "$part")" "$(tail -n 1 "$file")"
        separator=,
        break
      done
    done
    printf '}}\n'
  } >"$target"
  echo "written: $target"
  for file in profile steps; do
    if [ -f "$found/$file" ]; then cp "$found/$file" "${target%.json}-$file.json"; fi
  done
}

check_machine
build_targets
began=$SECONDS
failed=0
for part in "${parts[@]}"; do
  run_part "$part" || failed=1
done
write_result
exit $failed
