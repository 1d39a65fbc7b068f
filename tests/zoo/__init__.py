"""Models of the kinds that people serve, random weights: `SMALL` ones build in seconds, `FULL` ones have real sizes.

Tests and benchmarks take them by name: `zoo.saved("chain")` is a folder, `zoo.get("chain").example()` its inputs.
"""

from tests.zoo.base import DEFAULT, Array, Feeds, Sizes, ZooModel
from tests.zoo.cache import saved
from tests.zoo.registry import FULL, SMALL, get

__all__ = ["DEFAULT", "FULL", "SMALL", "Array", "Feeds", "Sizes", "ZooModel", "get", "saved"]
