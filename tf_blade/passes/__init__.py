"""Passes over one graph: what makes it smaller and plainer without changing what it computes.

Each pass is a function of its own file that changes a graph in place and gives the number of changes. None of them
removes a node that `graph.keep` names, a node that changes state, an argument, or an ordering between effects.
`inline.py` and `relax_control.py` work before these, on all bodies of a model at once.
"""

from __future__ import annotations

from collections.abc import Callable

from tf_blade import observe
from tf_blade.graph import legality
from tf_blade.graph.graph import Graph
from tf_blade.passes.common_subexpressions import share_common_subexpressions
from tf_blade.passes.effects import Effects
from tf_blade.passes.fold_constants import fold_constants
from tf_blade.passes.remove_dead import remove_dead
from tf_blade.passes.remove_identities import remove_identities
from tf_blade.settings import Settings

Pass = Callable[[Graph, Effects], int]

# In this order: identities would hide constants from folding and equal nodes from each other, and the last pass clears
# away what the others left unread.
PASSES: tuple[Pass, ...] = (remove_identities, fold_constants, share_common_subexpressions, remove_dead)

_log = observe.logger("passes")


def run_passes(graph: Graph, settings: Settings, effects: Effects) -> int:
    """Runs all passes once, in order; gives the number of changes.

    Raises:
        LegalityError: in debug mode, a pass broke the graph.
    """
    total = 0
    for item in PASSES:
        count = item(graph, effects)
        total += count
        _log.debug("%s: %s changed %d", graph.name or "main graph", item.__name__, count)
        if settings.debug:
            legality.check(graph, after=item.__name__)
    _log.info("%s: %d changes, %d nodes left", graph.name or "main graph", total, len(graph.nodes))
    return total
