"""Graph, Node, Tensor: what everything between reading and writing works on.

A graph is the body of one function, or a main graph. Nodes are in insertion order and named uniquely; edges are held
both ways (a node's inputs, a tensor's uses), and only the methods of `Graph` change them, so the two never disagree.

    graph = Graph("f")
    x = graph.add_input("x", DType.FLOAT, (batch, 128))
    y = graph.add_node("Relu", "relu", [x], {"T": DType.FLOAT}, [DType.FLOAT]).outputs[0]
    graph.add_output("y", y)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import Attr, FunctionAttr
from tf_blade.symbolic import Shape

ARG_OP = "_Arg"


class Tensor:
    """One output of a node.

    Attributes:
        node: the producer.
        index: position among the producer's outputs.
        dtype: element type.
        shape: symbolic shape, None while the rank is unknown.
        value: for small integer tensors, the content as an object array of Dims where it is known, else None.
        handle: for a resource that is a variable, the variable's element type and shape; for a list (a variant) of
            known content, those of its elements stacked; else None.
    """

    __slots__ = ("_uses", "dtype", "handle", "index", "node", "shape", "value")

    def __init__(self, node: Node, index: int, dtype: DType, shape: Shape | None = None) -> None:
        self.node = node
        self.index = index
        self.dtype = dtype
        self.shape = shape
        self.value: np.ndarray | None = None
        self.handle: tuple[DType, Shape | None] | None = None
        self._uses: dict[tuple[Node, int], None] = {}

    @property
    def uses(self) -> tuple[tuple[Node, int], ...]:
        """(consumer, input position) pairs, in the order they were made."""
        return tuple(self._uses)

    @property
    def consumers(self) -> tuple[Node, ...]:
        """The nodes that read this tensor, each once."""
        return tuple(dict.fromkeys(node for node, _ in self._uses))

    @property
    def name(self) -> str:
        return f"{self.node.name}:{self.index}"

    def __repr__(self) -> str:
        return f"Tensor({self.name}, {self.dtype.name}, {self.shape})"


class Node:
    """One operation. Read its fields freely; change it through `Graph` only.

    Attributes:
        name: unique in the graph.
        op: TensorFlow's op name.
        attrs: typed attributes.
        device: requested device, "" for none.
        debug: opaque experimental debug info and full type, carried through unchanged.
        bodies: the functions that `attrs` name, as far as somebody has attached them (see `attach_bodies`).
    """

    __slots__ = (
        "_control_inputs",
        "_control_uses",
        "_inputs",
        "attrs",
        "bodies",
        "debug",
        "device",
        "name",
        "op",
        "outputs",
    )

    def __init__(self, name: str, op: str, attrs: Mapping[str, Attr], device: str) -> None:
        self.name = name
        self.op = op
        self.attrs: dict[str, Attr] = dict(attrs)
        self.device = device
        self.debug: object = None
        self.bodies: Mapping[str, Graph] = {}
        self.outputs: tuple[Tensor, ...] = ()
        self._inputs: list[Tensor] = []
        self._control_inputs: dict[Node, None] = {}
        self._control_uses: dict[Node, None] = {}

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(self._inputs)

    @property
    def control_inputs(self) -> tuple[Node, ...]:
        return tuple(self._control_inputs)

    @property
    def control_uses(self) -> tuple[Node, ...]:
        """The nodes that have this one as a control input."""
        return tuple(self._control_uses)

    def predecessors(self) -> Iterator[Node]:
        """Producers of data and control inputs; a node may appear more than once."""
        for tensor in self._inputs:
            yield tensor.node
        yield from self._control_inputs

    def successors(self) -> Iterator[Node]:
        """Consumers by data and control; a node may appear more than once."""
        for tensor in self.outputs:
            for node, _ in tensor._uses:
                yield node
        yield from self._control_uses

    def functions(self) -> Iterator[FunctionAttr]:
        """The functions this node's attributes refer to."""
        for value in self.attrs.values():
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, FunctionAttr):
                    yield item

    def __repr__(self) -> str:
        return f"Node({self.name} = {self.op})"


@dataclasses.dataclass
class Output:
    """A named result of the graph."""

    name: str
    tensor: Tensor


class Graph:
    """A function body or main graph.

    Attributes:
        name: the function's name, "" for a main graph.
        inputs: the argument nodes (op `_Arg`), in order.
        outputs: named results, in order.
        control_outputs: (name, node) pairs that must run although nobody reads them.
        keep: names of nodes that must stay addressable (feeds, fetches and targets of a main graph).
        demands: names of outputs and control outputs that callers ask for together, one set for each kind of call; of a
            main graph a call may ask for a part, and feed no more than that needs. Empty: all, always.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.inputs: list[Node] = []
        self.outputs: list[Output] = []
        self.control_outputs: list[tuple[str, Node]] = []
        self.keep: set[str] = set()
        self.demands: tuple[frozenset[str], ...] = ()
        self._nodes: dict[str, Node] = {}

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def node(self, name: str) -> Node:
        """The node of that name. KeyError when there is none."""
        return self._nodes[name]

    def unique_name(self, base: str) -> str:
        """`base`, or `base_1`, `base_2`, … : the first that is free."""
        name, count = base, 0
        while name in self._nodes:
            count += 1
            name = f"{base}_{count}"
        return name

    def add_node(
        self,
        op: str,
        name: str,
        inputs: Sequence[Tensor],
        attrs: Mapping[str, Attr],
        output_dtypes: Sequence[DType],
        *,
        control_inputs: Iterable[Node] = (),
        device: str = "",
    ) -> Node:
        """Appends a node; the name must be free.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._nodes:
            raise ValueError(f"graph {self.name!r} has a node {name!r} already")
        node = Node(name, op, attrs, device)
        node.outputs = tuple(Tensor(node, i, dtype) for i, dtype in enumerate(output_dtypes))
        self._nodes[name] = node
        for tensor in inputs:
            self.append_input(node, tensor)
        for control in control_inputs:
            self.add_control_input(node, control)
        return node

    def add_input(self, name: str, dtype: DType, shape: Shape | None = None) -> Tensor:
        """Appends an argument and gives its tensor."""
        node = self.add_node(ARG_OP, name, (), {"T": dtype, "index": len(self.inputs)}, [dtype])
        node.outputs[0].shape = shape
        self.inputs.append(node)
        return node.outputs[0]

    def add_output(self, name: str, tensor: Tensor) -> None:
        self.outputs.append(Output(name, tensor))

    def append_input(self, node: Node, tensor: Tensor) -> None:
        tensor._uses[(node, len(node._inputs))] = None
        node._inputs.append(tensor)

    def set_input(self, node: Node, index: int, tensor: Tensor) -> None:
        """Makes input `index` of the node read `tensor`."""
        del node._inputs[index]._uses[(node, index)]
        node._inputs[index] = tensor
        tensor._uses[(node, index)] = None

    def clear_inputs(self, node: Node) -> None:
        """Takes all data inputs away, e.g. to append others."""
        for index, tensor in enumerate(node._inputs):
            del tensor._uses[(node, index)]
        node._inputs.clear()

    def add_control_input(self, node: Node, control: Node) -> None:
        node._control_inputs[control] = None
        control._control_uses[node] = None

    def remove_control_input(self, node: Node, control: Node) -> None:
        del node._control_inputs[control]
        del control._control_uses[node]

    def replace_uses(self, old: Tensor, new: Tensor) -> None:
        """All that reads `old` (nodes and graph outputs) reads `new` after."""
        for node, index in old.uses:
            self.set_input(node, index, new)
        for output in self.outputs:
            if output.tensor is old:
                output.tensor = new

    def is_output(self, tensor: Tensor) -> bool:
        return any(output.tensor is tensor for output in self.outputs)

    def remove_node(self, node: Node) -> None:
        """Removes a node that nothing reads or waits for.

        Raises:
            ValueError: something still does.
        """
        if any(tensor._uses for tensor in node.outputs) or node._control_uses:
            raise ValueError(f"node {node.name!r} is still in use")
        self.clear_inputs(node)
        for control in node.control_inputs:
            self.remove_control_input(node, control)
        del self._nodes[node.name]

    def topological_order(self) -> list[Node]:
        """All nodes, producers first; ties in insertion order. Back edges of loops (NextIteration) are not followed.

        Raises:
            ValueError: there is a cycle without NextIteration.
        """
        waiting = {node: _num_forward_predecessors(node) for node in self._nodes.values()}
        ready = [node for node, count in waiting.items() if count == 0]
        order: list[Node] = []
        position = 0
        while position < len(ready):
            node = ready[position]
            position += 1
            order.append(node)
            if node.op in BACK_EDGE_OPS:
                continue
            for successor in node.successors():
                waiting[successor] -= 1
                if waiting[successor] == 0:
                    ready.append(successor)
        if len(order) != len(self._nodes):
            stuck = next(node for node, count in waiting.items() if count > 0)
            raise ValueError(f"graph {self.name!r} has a cycle through node {stuck.name!r}")
        return order


BACK_EDGE_OPS = frozenset({"NextIteration", "RefNextIteration"})


def _num_forward_predecessors(node: Node) -> int:
    return sum(1 for item in node.predecessors() if item.op not in BACK_EDGE_OPS)


def attach_bodies(graphs: Mapping[str, Graph]) -> None:
    """Gives all nodes the bodies of the functions that they name, as far as these are among the graphs."""
    for graph in graphs.values():
        for node in graph.nodes:
            found = {item.name: graphs[item.name] for item in node.functions() if item.name in graphs}
            if found:
                node.bodies = found
