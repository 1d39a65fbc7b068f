"""The IR passes, in order. Each takes a module and gives an equivalent one; legality is checked after each in debug."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable

from tf_blade.backends.disc.ir import legality
from tf_blade.backends.disc.ir.values import Module
from tf_blade.backends.disc.passes import (
    attention,
    canonicalize,
    common_subexpressions,
    dilation,
    fold_pad,
    fold_scale,
    hoist_rows,
    layer_norm,
    narrow_products,
    pointwise,
    regions,
    siblings,
    softmax,
)
from tf_blade.observe import DETAILS, logger

_log = logger("disc.ir")

Pass = Callable[[Module], Module]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("hoist", regions.hoist),
    ("hoist-rows", hoist_rows.run),
    ("canonicalize", canonicalize.run),
    ("common-subexpressions", common_subexpressions.run),
    ("dilation", dilation.run),
    ("pointwise-functions", pointwise.run),
    ("softmax", softmax.run),
    ("layer-norm", layer_norm.run),
    ("attention", attention.run),
    ("fold-scale", fold_scale.run),
    ("fold-pad", fold_pad.run),
    ("siblings", siblings.run),
    ("narrow-products", narrow_products.run),
    ("canonicalize-again", canonicalize.run),
    ("common-subexpressions-again", common_subexpressions.run),
    ("prune", regions.prune),
)


def run(module: Module, *, debug: bool = False, observe: Callable[[str, Module], None] | None = None) -> Module:
    """Runs all passes. `observe` sees each pass's name and result.

    Raises:
        LegalityError: in debug, when a pass made an illegal module.
    """
    _show("before", module)
    for name, step in (
        *PASSES,
        ("regions", lambda outer: regions.run_inside(outer, functools.partial(run, debug=debug))),
    ):
        module = step(module)
        if debug:
            legality.check(module)
        if observe is not None:
            observe(name, module)
    _log.info("%s", ", ".join(f"{number} {kind}" for kind, number in Counter(op.kind for op in module.ops()).items()))
    _show("after", module)
    return module


def _show(when: str, module: Module) -> None:
    if _log.isEnabledFor(DETAILS):
        _log.debug("%s the passes:\n%s", when, module.text())
