"""Engines that one engine op holds, in their order of preference."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.engines.format import read_engine
from tf_blade.errors import BuildFailure, EngineFormatError
from tf_blade.stages import BuiltEngine


def check_together(built: Sequence[BuiltEngine], engine: BuiltEngine) -> None:
    """Checks that an engine can stand behind those that were built of the same cluster before it.

    Raises:
        BuildFailure: it takes or gives something else than the first; a defect in one of the two backends.
    """
    if not built:
        return
    try:
        difference = read_engine(built[0].engine).signature.difference(read_engine(engine.engine).signature)
    except EngineFormatError as error:
        raise BuildFailure(f"the engine cannot stand behind {built[0].backend}'s: {error}") from error
    if difference:
        raise BuildFailure(
            f"the engine cannot stand behind {built[0].backend}'s, which takes or gives else: {difference}"
        )
