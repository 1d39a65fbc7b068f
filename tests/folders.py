"""Folders for tests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from absl.testing import absltest


def class_folder(case: type[absltest.TestCase]) -> Path:
    """A folder that lives until the tests of a class are done; to be asked for by its `setUpClass`."""
    scratch = tempfile.TemporaryDirectory()
    case.addClassCleanup(scratch.cleanup)
    return Path(scratch.name)
