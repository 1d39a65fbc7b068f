"""Each registered log channel tells something in an optimization, and the details are more."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from absl.testing import absltest

import tf_blade
from tests.saved_model import models, workshop
from tf_blade import observe
from tf_blade.backends.tensorrt import library


class ChannelsTest(absltest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        library.load.cache_clear()  # a process says once which TensorRT it uses

    def _lines(self, *backends: str, details: bool) -> Counter[str]:
        """Number of messages by channel."""
        with tempfile.TemporaryDirectory() as scratch:
            models.labels(Path(scratch) / "src")
            (Path(scratch) / "src/assets.extra/tf_serving_warmup_requests").unlink()  # else it is kept
            with self.assertLogs("tf_blade", observe.DETAILS if details else "INFO") as logs:
                options: dict[str, Any] = {"backends": backends, "isas": ("x86-64-v3",), **workshop.EAGER}
                tf_blade.optimize_saved_model(Path(scratch) / "src", Path(scratch) / "dst", **options)
        return Counter(record.name.removeprefix("tf_blade.") for record in logs.records)

    def test_every_channel_tells_something(self) -> None:
        self.assertEqual(set(self._lines("tensorrt", "disc", details=False)), set(observe.CHANNELS))
        counts = self._lines("disc", details=False)
        details = self._lines("disc", details=True)
        for channel in ("passes", "support", "disc.ir", "disc.fusion", "disc.toolchain"):
            self.assertGreater(details[channel], counts[channel], channel)


if __name__ == "__main__":
    absltest.main()
