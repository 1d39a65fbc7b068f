"""When a node runs: the loop frame it is in and the conditions it is alive under, for TF1's low-level control flow.

Graphs of TF2 call functions (`While`, `If`) and every node runs once. TF1's loops and conditionals are dataflow:
`Switch` kills one of its outputs, the dead value travels through everything downstream until a `Merge`, and
`Enter`/`Exit` bound a frame whose nodes run once an iteration. An engine runs once, and only when all its inputs are
alive; so nodes may share one only when they are in the same frame and alive under the same conditions.

A *context* is a frame with a set of conditions. Contexts are compared, never interpreted: equal contexts are alive
together, unequal ones may or may not be.
"""

from __future__ import annotations

from collections.abc import Iterable

from tf_blade.graph.graph import BACK_EDGE_OPS, Graph, Node, Tensor

SWITCH_OPS = frozenset({"Switch", "RefSwitch", "_SwitchN"})
MERGE_OPS = frozenset({"Merge", "RefMerge", "_XlaMerge"})
ENTER_OPS = frozenset({"Enter", "RefEnter"})
EXIT_OPS = frozenset({"Exit", "RefExit"})
CONTROL_FLOW_OPS = (
    SWITCH_OPS | MERGE_OPS | ENTER_OPS | EXIT_OPS | BACK_EDGE_OPS | {"LoopCond", "ControlTrigger", "Abort", "_Recv"}
)

# A condition is a tuple that says where it comes from; a frame is the path of frame names from the outermost on.
_Conditions = frozenset[tuple[object, ...]]
_Frame = tuple[str, ...]
_Context = tuple[_Frame, _Conditions]
_ALWAYS: _Context = ((), frozenset())


class Contexts:
    """The contexts of a graph's nodes, as numbers; 0: once, always."""

    def __init__(self, graph: Graph) -> None:
        self._flow = _Flow()
        self._numbers: dict[object, int] = {_ALWAYS: 0}
        self._of: dict[Node, int] = {}
        if any(node.op in CONTROL_FLOW_OPS for node in graph.nodes):
            self._fill(graph.topological_order())

    def __getitem__(self, node: Node) -> int:
        """Nodes of equal numbers run equally often and are alive together."""
        return self._of.get(node, 0)

    def of_reader(self, inputs: Iterable[Tensor], control_inputs: Iterable[Node]) -> int:
        """The context that an ordinary node with these inputs would have; -1 when it is that of no node."""
        if not self._of:
            return 0
        return self._numbers.get(self._flow.context(inputs, control_inputs), -1)

    def _fill(self, order: list[Node]) -> None:
        found = self._flow.run(order)
        loose = _inconsistent_frames(order, found)
        for node in order:
            frame, _ = key = found[node]
            is_loose = any(frame[: len(item)] == item for item in loose)
            self._of[node] = self._numbers.setdefault(node.name if is_loose else key, len(self._numbers))


class _Flow:
    """Propagates contexts along edges. Each output of a Switch has one of its own."""

    def __init__(self) -> None:
        self.nodes: dict[Node, _Context] = {}
        self.tensors: dict[Tensor, _Context] = {}

    def run(self, order: Iterable[Node]) -> dict[Node, _Context]:
        for node in order:
            context = self._context(node)
            self.nodes[node] = context
            for tensor in node.outputs:
                self.tensors[tensor] = self._of_output(tensor, context)
        return self.nodes

    def context(self, inputs: Iterable[Tensor], control_inputs: Iterable[Node]) -> _Context:
        """That of an ordinary node: the innermost frame, and alive when all its inputs are. Back edges do not count."""
        found = [self.tensors[item] for item in inputs if item in self.tensors]
        found += [self.nodes[item] for item in control_inputs if item in self.nodes]
        frame = max((item[0] for item in found), key=len, default=())
        return frame, frozenset[tuple[object, ...]]().union(*(item[1] for item in found))

    def _context(self, node: Node) -> _Context:
        frame, conditions = self.context(node.inputs, node.control_inputs)
        if node.op in ENTER_OPS:
            return (*frame, str(node.attrs.get("frame_name"))), conditions
        if node.op in EXIT_OPS:
            return frame[:-1], frozenset({("exit", frame)})
        if node.op in MERGE_OPS:
            branches = [self.tensors[item][1] for item in node.inputs if item in self.tensors]
            return frame, _of_merge(node, frame, branches)
        if node.op in ("ControlTrigger", "_Recv", "Abort"):
            return frame, frozenset({("unknown", node.name)})
        return frame, conditions

    def _of_output(self, tensor: Tensor, context: _Context) -> _Context:
        node = tensor.node
        if node.op not in SWITCH_OPS:
            return context
        frame, conditions = context
        return frame, conditions | {("branch", _predicate(node.inputs[1]).name, tensor.index)}


def _predicate(tensor: Tensor) -> Tensor:
    """The tensor that a Switch asks, past identities: those of one conditional mostly ask copies of one."""
    while tensor.node.op in ("Identity", "LoopCond"):
        tensor = tensor.node.inputs[0]
    return tensor


def _of_merge(node: Node, frame: _Frame, branches: list[_Conditions]) -> _Conditions:
    if any(item.node.op in BACK_EDGE_OPS for item in node.inputs):
        return frozenset({("iteration", frame)}).union(*branches)
    if len(branches) == 2 and len(node.inputs) == 2:
        left, right = branches[0] - branches[1], branches[1] - branches[0]
        if len(left) == len(right) == 1 and _are_complementary(next(iter(left)), next(iter(right))):
            return branches[0] & branches[1]
    return frozenset({("merge", node.name)})


def _are_complementary(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    return a[0] == b[0] == "branch" and a[1] == b[1] and {a[2], b[2]} == {0, 1}


def _inconsistent_frames(order: Iterable[Node], found: dict[Node, _Context]) -> set[_Frame]:
    """Frames whose loop variables do not live and die together, as those of every `tf.while_loop` do.

    Only there is it true that all Merges of a frame share one condition.
    """
    seen: dict[_Frame, _Conditions] = {}
    loose: set[_Frame] = set()
    for node in order:
        if node.op in BACK_EDGE_OPS:
            frame, conditions = found[node]
            if seen.setdefault(frame, conditions) != conditions:
                loose.add(frame)
    return loose
