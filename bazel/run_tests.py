"""Runs several absltest files in one process: `run_tests.py FILE...`, under Bazel or by hand.

absltest does the rest: sharding, filters (`--test_filter`) and the XML report.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import types
import unittest

from absl.testing import absltest


def collect(paths: list[str]) -> types.ModuleType:
    """A module that holds every test case of the files, under names that do not clash.

    Raises:
      ValueError: a file holds test functions outside a TestCase, which only pytest would run.
    """
    suite = types.ModuleType("suite")
    for path in paths:
        name = path.removesuffix(".py").replace("/", ".")
        module = importlib.import_module(name)
        for member, value in vars(module).items():
            if inspect.isfunction(value) and member.startswith("test") and value.__module__ == name:
                raise ValueError(f"{path}: {member} is outside a TestCase, so that only pytest would run it")
            if inspect.isclass(value) and issubclass(value, unittest.TestCase) and value.__module__ == name:
                setattr(suite, f"{name.replace('.', '_')}_{member}", value)
    return suite


def _absolute_library() -> None:
    """Bazel names the op library relative to the runfiles, where the process starts."""
    library = os.environ.get("TF_BLADE_LIBRARY")
    if library:
        os.environ["TF_BLADE_LIBRARY"] = os.path.abspath(library)


if __name__ == "__main__":
    files = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    flags = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    sys.path.insert(0, os.getcwd())
    _absolute_library()
    # absl's flags have no -k; its tests take the patterns from where Bazel's --test_filter puts them.
    patterns = [flag.removeprefix("-k") for flag in flags if flag.startswith("-k")]
    if patterns:
        os.environ.setdefault("TESTBRIDGE_TEST_ONLY", " ".join(patterns))
    sys.argv[1:] = [flag for flag in flags if not flag.startswith("-k")]
    absltest.main(module=collect(files), argv=sys.argv)
