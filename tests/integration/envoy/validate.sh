#!/bin/bash
# A stock Envoy takes what the control plane compiles: `bazel run //tests/integration/envoy:validate`. Envoy is found in
# $ENVOY, or where tests/bench/setup puts it.
set -euo pipefail
envoy=${ENVOY:-$(compgen -G "$HOME/.cache/countersign/bench/venv/lib/python3*/site-packages/envoy/_bin/envoy" | head -1 || true)}
if [[ ! -x "$envoy" ]]; then
  echo "there is no Envoy: run tests/bench/setup, or say ENVOY=PATH" >&2
  exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for file in control/compile/testdata/*.in.yaml; do
  tests/integration/envoy/write_bootstrap "$scratch/bootstrap.pb" "$file"
  if ! timeout 60 "$envoy" --mode validate --base-id $$ -l warn -c "$scratch/bootstrap.pb" >"$scratch/log" 2>&1; then
    cat "$scratch/log" >&2
    echo "Envoy refuses what $file compiles to" >&2
    exit 1
  fi
  echo "$file: taken"
done
