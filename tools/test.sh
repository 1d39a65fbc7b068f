#!/usr/bin/env bash
# Installs what the tests need, checks style and types, and runs every test through `bazel test //...`.
# The last line counts test cases: "N passed, N failed, N skipped".
#
#   tools/test.sh [BAZEL OPTION...]
set -uo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh test || exit 1
export PATH="$PWD/.venv/bin:$PATH"
# Built test models stay in the checkout.
export TF_BLADE_ZOO_CACHE="${TF_BLADE_ZOO_CACHE:-$PWD/models/zoo}"

failed_steps=0
step() {
  printf '\n== %s\n' "$*"
  "$@" || failed_steps=$((failed_steps + 1))
}

cpp_format() {
  find custom_ops tests -name '*.cc' -o -name '*.c' -o -name '*.h' | xargs clang-format --dry-run --Werror
}

step ruff check .
step ruff format --check .
step mypy
step cpp_format

bazel="$(command -v bazelisk || command -v bazel)"
events="$(mktemp)"
trap 'rm -f "$events"' EXIT
# Whatever Python .venv was made with, the tests run in .venv.
export TF_BLADE_PYTHON="$PWD/.venv/bin/python"
step "$bazel" test //... --keep_going --build_event_json_file="$events" "$@"

python tools/count_tests.py "$events" --failed-steps "$failed_steps"
