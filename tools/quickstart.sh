#!/usr/bin/env bash
# From a clone to a table: installs what is missing, builds, makes two models with random weights (a text classifier of
# BERT-base's size that takes strings, and ResNet50), optimizes both, verifies them, and times TensorFlow against tf_blade.
#
#   tools/quickstart.sh [--small] [--models FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh run
TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}" exec .venv/bin/python tools/quickstart.py "$@"
