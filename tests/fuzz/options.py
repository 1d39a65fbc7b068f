"""What the fuzz targets' commands share."""

from __future__ import annotations

import argparse


def options_parser(description: str, executions: int = 1_000_000) -> argparse.ArgumentParser:
    """Takes how long a target runs, and how often at most; its help is the first line of the description."""
    result = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    result.add_argument("--seconds", type=float, default=120.0)
    result.add_argument("--executions", type=int, default=executions)
    result.add_argument("--seed", type=int, default=0)
    return result
