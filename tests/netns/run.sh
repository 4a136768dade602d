#!/bin/bash
# Runs one of these tests: tests/netns/run.sh tests/netns/NAME.py, from the workspace root, with COUNTERSIGN_BINARIES
# naming the folder of the built programs (bazel-bin); Bazel runs it from the runfiles, where they lie.
set -euo pipefail
export PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$@"
