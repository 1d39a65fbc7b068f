#!/usr/bin/env bash
# Installs what is missing, makes .venv in the checkout, and builds tf_blade into it.
#
#   tools/setup.sh run     what building and running need
#   tools/setup.sh test    also what the tests need: linters, pytest, Bazel
#
# TF_BLADE_PYTHON      the Python to make .venv with; default: the newest supported one found
# TF_BLADE_TENSORFLOW  the distribution of TensorFlow; default: tensorflow-cpu
set -euo pipefail
cd "$(dirname "$0")/.."

purpose="${1:-run}"
readonly VENV="$PWD/.venv"
readonly TENSORFLOW="${TF_BLADE_TENSORFLOW:-tensorflow-cpu}==2.21.*"

say() { printf '\n== %s\n' "$*" >&2; }

die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

apt_updated=no
apt_install() {
  command -v apt-get >/dev/null || die "install $*: there is no apt-get here"
  say "installing $*"
  if [[ $apt_updated == no ]]; then
    as_root apt-get update -qq
    apt_updated=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

is_supported() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
  local candidate
  for candidate in "${TF_BLADE_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
    if [[ -n $candidate ]] && command -v "$candidate" >/dev/null && is_supported "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  die "no Python 3.10 to 3.13 found; name one in TF_BLADE_PYTHON"
}

install_compiler() {
  command -v "${TF_BLADE_CXX:-c++}" >/dev/null || apt_install g++
}

install_bazel() {
  if command -v bazelisk >/dev/null; then return; fi
  if ! command -v bazel >/dev/null; then
    apt_install bazel-bootstrap bazel-rules-java bazel-rules-proto bazel-platforms
  elif [[ $(readlink -f "$(command -v bazel)") == /usr/bin/bazel* && ! -d /usr/share/bazel/rules/java ]]; then
    apt_install bazel-rules-java bazel-rules-proto bazel-platforms
  fi
}

make_venv() {
  if [[ -x $VENV/bin/python ]] && is_supported "$VENV/bin/python"; then return; fi
  local python
  python="$(find_python)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
  say "making .venv with $("$python" --version)"
  "$python" -m venv --clear "$VENV"
}

pip_install() {
  "$VENV/bin/python" -m pip install --disable-pip-version-check --quiet "$@"
}

install_tensorflow() {
  if "$VENV/bin/python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("tensorflow") is None)'; then return; fi
  say "installing $TENSORFLOW"
  pip_install "$TENSORFLOW"
}

# By itself: it asks for the distribution named tensorflow, which would be installed over tensorflow-cpu.
install_serving_api() {
  pip_install --no-deps 'tensorflow-serving-api==2.21.*'
}

case "$purpose" in
  run) extras='' ;;
  test) extras='[dev]' ;;
  *) die "unknown purpose '$purpose': say run or test" ;;
esac

install_compiler
make_venv
pip_install 'setuptools>=64' wheel
install_tensorflow
install_serving_api
say "building tf_blade"
pip_install --no-build-isolation --editable ".$extras"
if [[ $purpose == test ]]; then install_bazel; fi
