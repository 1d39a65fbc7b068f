"""Named log channels, chosen with TF_BLADE_LOGS, over absl's logger.

TF_BLADE_LOGS=support,clusters,+disc.fusion shows what those channels say; a `+` in front shows their details too, `all`
stands for every channel. Without it only warnings appear. Each channel is registered here with what it tells.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from tf_blade.errors import TfBladeError

CHANNELS: Mapping[str, str] = {
    "pipeline": "the phases and their times",
    "saved_model": "what was read, written and checked",
    "passes": "what each graph pass changed",
    "shapes": "symbolic shape inference",
    "support": "verdicts: which node can run where, and why not",
    "clusters": "merges, cost estimates, clusters given up",
    "build": "engines built, engines that failed",
    "rewrite": "what was replaced by what",
    "disc.ir": "the IR of each cluster",
    "disc.fusion": "which ops became which kernel",
    "disc.toolchain": "compiler calls and their times",
    "tensorrt": "the TensorRT in use, its builds and its own messages",
    "verify": "comparisons with the original",
    "warmup": "requests for the warmup file",
}

ENVIRONMENT = "TF_BLADE_LOGS"
# For `isEnabledFor`, where the details themselves are costly to make.
DETAILS = logging.DEBUG


def logger(channel: str) -> logging.Logger:
    """The logger of a channel. KeyError when the channel is not registered."""
    if channel not in CHANNELS:
        raise KeyError(f"no log channel {channel!r}; there are {', '.join(CHANNELS)}")
    return logging.getLogger(f"tf_blade.{channel}")


def levels(spec: str) -> dict[str, int]:
    """What each channel named in a TF_BLADE_LOGS value shows.

    Raises:
        TfBladeError: it names a channel that does not exist.
    """
    chosen: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in spec.split(","))):
        level = logging.DEBUG if item.startswith("+") else logging.INFO
        name = item.lstrip("+")
        names = list(CHANNELS) if name == "all" else [name]
        if any(one not in CHANNELS for one in names):
            raise TfBladeError(f"{ENVIRONMENT} names no log channel: {name!r}; there are all, {', '.join(CHANNELS)}")
        chosen.update(dict.fromkeys(names, level))
    return chosen


def configure(spec: str | None = None) -> None:
    """Applies TF_BLADE_LOGS (or `spec`). Messages go to standard error, one line each.

    Raises:
        TfBladeError: it names a channel that does not exist.
    """
    chosen = levels(os.environ.get(ENVIRONMENT, "") if spec is None else spec)
    root = logging.getLogger("tf_blade")
    if chosen and not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        root.addHandler(handler)
        root.propagate = False
    if root.level == logging.NOTSET:  # a program's own root logger may show more than warnings, as absl's may
        root.setLevel(logging.WARNING)
    for name, level in chosen.items():
        logger(name).setLevel(level)
