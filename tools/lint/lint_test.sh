#!/bin/bash
# Runs lint_test.py beside this script.
exec python3 -B "$(dirname "$0")/lint_test.py"
