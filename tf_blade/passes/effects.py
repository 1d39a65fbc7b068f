"""What a node does besides computing its outputs: nothing, reading state, or changing it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from tf_blade.graph.attributes import FunctionAttr
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor


class Effect(enum.IntEnum):
    """Ordered by how much a node does to the world."""

    NONE = 0
    READS = 1
    WRITES = 2


# Stateful to TensorFlow, but all they do is look.
READERS = frozenset(
    {
        "BladeEngineOp",
        "IsVariableInitialized",
        "LookupTableFindV2",
        "LookupTableSizeV2",
        "ReadVariableOp",
        "ResourceGather",
        "ResourceGatherNd",
        "VarIsInitializedOp",
        "VariableShape",
    }
)
# Stateful to TensorFlow, and give a name to something that exists by itself.
HANDLES = frozenset({"HashTableV2", "MutableHashTableV2", "Placeholder", "PlaceholderWithDefault", "VarHandleOp"})

Stateful = Callable[[str], bool]


class Effects:
    """Effects of nodes, those of the functions they call included.

    Args:
        bodies: graphs of functions by name; a call of any other function counts as a write if its op is stateful.
        is_stateful: whether TensorFlow calls an op stateful.
        ordered: bodies whose end somebody who writes may wait for (see `ordered_bodies`).
    """

    def __init__(
        self, bodies: Mapping[str, Graph], is_stateful: Stateful, ordered: frozenset[str] = frozenset()
    ) -> None:
        self._bodies = bodies
        self._is_stateful = is_stateful
        self._ordered = ordered
        self._of_function: dict[str, Effect] = {}

    def bodies_of(self, node: Node) -> list[Graph] | None:
        """The bodies of the functions that a node calls; None when one of them is unknown."""
        names = [item.name for item in node.functions()]
        if node.op in self._bodies:
            names.append(node.op)
        if any(name not in self._bodies for name in names):
            return None
        return [self._bodies[name] for name in names]

    def of(self, node: Node) -> Effect:
        """The node's effect. Reference types are state wherever they go."""
        if any(t.dtype.is_ref for t in (*node.inputs, *node.outputs)):
            return Effect.WRITES
        if node.op == ARG_OP or node.op in HANDLES:
            return Effect.NONE
        if node.op in READERS:
            return Effect.READS
        called = [item.name for item in node.functions()]
        if node.op in self._bodies:
            called.append(node.op)
        if called and all(name in self._bodies for name in called):
            return max(self.of_function(name) for name in called)
        return Effect.WRITES if self._is_stateful(node.op) else Effect.NONE

    def is_ordered(self, graph: Graph) -> bool:
        """Whether the graph's control outputs must wait for its reads too: its caller may write what it reads."""
        return graph.name in self._ordered

    def of_function(self, name: str) -> Effect:
        """The largest effect of a body's nodes."""
        found = self._of_function.get(name)
        if found is None:
            self._of_function[name] = Effect.WRITES  # what a recursive call of it counts as
            found = max((self.of(node) for node in self._bodies[name].nodes), default=Effect.NONE)
            self._of_function[name] = found
        return found


def ordered_bodies(
    effects: Effects, bodies: Mapping[str, Graph], callers: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """Bodies that are called, directly or not, by one that writes or that is unknown.

    TensorFlow inlines calls when it runs a model, and whoever waited for the call then waits for the body's control
    outputs alone: a write behind the call would overtake a read that is none of them.
    """
    found: dict[str, bool] = {}

    def writes(name: str) -> bool:
        return name not in bodies or effects.of_function(name) == Effect.WRITES

    for start in bodies:
        seen = {start}
        stack = [start]
        while stack and not found.get(start):
            for caller in callers.get(stack.pop(), frozenset()):
                if found.get(caller) or writes(caller):
                    found[start] = True
                elif caller not in seen:
                    seen.add(caller)
                    stack.append(caller)
    return frozenset(found)


def is_only_read(handle: Tensor) -> bool:
    """Whether all that this graph does with a variable is to read it."""
    return all(node.op in READERS for node in handle.consumers)


def calls(node: Node, name: str) -> bool:
    """Whether the node is a plain call of the function."""
    if node.op == name:
        return True
    target = node.attrs.get("f")
    return node.op in CALL_OPS and isinstance(target, FunctionAttr) and target.name == name


CALL_OPS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})

# In TF1's control flow, a control edge also carries the branch or the iteration that its target belongs to, and a node
# without inputs belongs to none.
TF1_CONTROL_FLOW = frozenset(
    prefix + op for prefix in ("", "Ref") for op in ("Enter", "Exit", "Merge", "NextIteration", "Switch")
)


def has_tf1_control_flow(graph: Graph) -> bool:
    """Whether the graph holds branches or loops made of single nodes."""
    return any(node.op in TF1_CONTROL_FLOW for node in graph.nodes)
