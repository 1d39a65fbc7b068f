"""Inlines calls of functions that one body alone calls.

Models come as many small functions: a layer block called twelve times, a wrapper around it all. Engines end where a
call begins, so a function goes into its caller when nobody else calls it and nothing refers to it by name. A function
that several bodies call stays, and is optimized by itself, once, for all of them.

    outer: x ─► call(f) ─► y         =>     outer: x ─► call/matmul ─► call/relu ─► y
    f:     a ─► matmul ─► relu
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from tf_blade.dtypes import DType
from tf_blade.graph.attributes import TensorAttr
from tf_blade.graph.graph import ARG_OP, Graph, Node, Tensor
from tf_blade.passes.effects import READERS, calls, has_tf1_control_flow

# A body may grow to this many nodes, or by this much if it was larger.
MAX_NODES = 200_000
# A function called several times is not copied when its constants are larger than this.
MAX_COPIED_BYTES = 65_536


@dataclasses.dataclass(frozen=True)
class InlineResult:
    """What was inlined.

    Attributes:
        changed: names of the bodies that calls went away from, "" for the main graph.
        removed: the functions that nothing calls any more, each with the body it went into.
    """

    changed: frozenset[str]
    removed: dict[str, str]


def inline_calls(
    bodies: Mapping[str, Graph],
    *,
    pinned: frozenset[str],
    callers: Mapping[str, frozenset[str]],
    is_stateful: Callable[[str], bool],
) -> InlineResult:
    """Inlines, innermost functions first.

    Args:
        bodies: graphs by function name, "" being the main graph.
        pinned: functions that must exist under their names.
        callers: for each function, who calls it, bodies or not.
        is_stateful: whether TensorFlow calls an op stateful.
    """
    changed: set[str] = set()
    removed: dict[str, str] = {}
    for name in _innermost_first(bodies):
        only = callers.get(name, frozenset())
        if name in pinned or len(only) != 1:
            continue
        (caller,) = only
        if caller not in bodies or caller == name or has_tf1_control_flow(bodies[caller]):
            continue
        sites = [node for node in bodies[caller].nodes if calls(node, name)]
        if not _may_inline(bodies, name, caller, sites, is_stateful):
            continue
        for site in sites:
            inline_call(bodies[caller], site, bodies[name], is_stateful)
        changed.add(caller)
        removed[name] = caller
    return InlineResult(frozenset(changed), removed)


def _innermost_first(bodies: Mapping[str, Graph]) -> list[str]:
    """Names of functions, callees before callers."""
    order: list[str] = []
    state: dict[str, bool] = {}
    for root in bodies:
        stack = [(root, iter(_called(bodies[root], bodies)))] if root not in state else []
        state.setdefault(root, False)
        while stack:
            name, rest = stack[-1]
            following = next((item for item in rest if item not in state), None)
            if following is None:
                order.append(name)
                stack.pop()
            else:
                state[following] = False
                stack.append((following, iter(_called(bodies[following], bodies))))
    return [name for name in order if name]


def _called(graph: Graph, bodies: Mapping[str, Graph]) -> list[str]:
    names: dict[str, None] = {}
    for node in graph.nodes:
        if node.op in bodies:
            names[node.op] = None
        names.update((item.name, None) for item in node.functions() if item.name in bodies)
    return list(names)


def _may_inline(
    bodies: Mapping[str, Graph], name: str, caller: str, sites: list[Node], is_stateful: Callable[[str], bool]
) -> bool:
    callee = bodies[name]
    if not sites or any(not _is_plain(site, callee) for site in sites):
        return False
    if not caller and any(site.control_inputs for site in sites):
        return False  # in the main graph a node runs because a result waits for it, were it only through a call
    if any(node.op == name or any(item.name == name for item in node.functions()) for node in callee.nodes):
        return False
    copies = len(sites)
    if copies > 1 and (_constant_bytes(callee) > MAX_COPIED_BYTES or _holds_state(callee, bodies, is_stateful)):
        return False
    size = len(bodies[caller])
    return copies == 1 or size + copies * len(callee) <= max(MAX_NODES, 2 * size)


def _is_plain(site: Node, callee: Graph) -> bool:
    """Whether the call's arguments and results are those of the function, and nobody compiles it as a unit."""
    if any(site.attrs.get(name) for name in ("_noinline", "_XlaMustCompile", "_xla_compile_id", "_tpu_replicate")):
        return False
    given, taken = [t.dtype for t in site.inputs], [node.outputs[0].dtype for node in callee.inputs]
    return given == taken and [t.dtype for t in site.outputs] == [o.tensor.dtype for o in callee.outputs]


def _constant_bytes(graph: Graph) -> int:
    values = (node.attrs.get("value") for node in graph.nodes if node.op == "Const")
    return sum(value.num_bytes for value in values if isinstance(value, TensorAttr))


def _holds_state(graph: Graph, bodies: Mapping[str, Graph], is_stateful: Callable[[str], bool]) -> bool:
    """Whether a kernel of the body may keep something between calls (a random generator), which copies would not share.

    Variables and tables are kept outside of kernels.
    """
    for node in graph.nodes:
        called = [item.name for item in node.functions()]
        if node.op in bodies:
            called.append(node.op)
        if called:
            if any(name not in bodies or _holds_state(bodies[name], bodies, is_stateful) for name in called):
                return True
        elif node.op not in _STATELESS_KERNELS and is_stateful(node.op):
            return True
    return False


_STATELESS_KERNELS = READERS | {
    ARG_OP,
    "Assert",
    "AssignAddVariableOp",
    "AssignSubVariableOp",
    "AssignVariableOp",
    "Print",
    "PrintV2",
    "ResourceScatterAdd",
    "ResourceScatterUpdate",
    "VarHandleOp",
}


def inline_call(graph: Graph, site: Node, callee: Graph, is_stateful: Callable[[str], bool]) -> None:
    """Replaces one call by a copy of the function's body.

    What waited for the call waits for what the function must run (its control outputs); what the call waited for, the
    body's stateful nodes wait for.
    """
    copies = _copy_body(graph, site, callee, is_stateful)
    tensors = dict(zip((node.outputs[0] for node in callee.inputs), site.inputs, strict=True))

    def result(tensor: Tensor) -> Tensor:
        return tensors[tensor] if tensor in tensors else copies[tensor.node].outputs[tensor.index]

    for node in callee.nodes:
        if node.op != ARG_OP:
            for tensor in node.inputs:
                graph.append_input(copies[node], result(tensor))
            for control in node.control_inputs:
                if control in copies:
                    graph.add_control_input(copies[node], copies[control])
    for output, tensor in zip(callee.outputs, site.outputs, strict=True):
        graph.replace_uses(tensor, result(output.tensor))
    _move_control_uses(graph, site, [copies[node] for _, node in callee.control_outputs])
    graph.remove_node(site)


def _copy_body(graph: Graph, site: Node, callee: Graph, is_stateful: Callable[[str], bool]) -> dict[Node, Node]:
    copies: dict[Node, Node] = {}
    for node in callee.nodes:
        if node.op == ARG_OP:
            continue
        name = graph.unique_name(f"{site.name}/{node.name}")
        dtypes: list[DType] = [tensor.dtype for tensor in node.outputs]
        copy = graph.add_node(node.op, name, (), node.attrs, dtypes, device=node.device or site.device)
        copy.debug = node.debug
        for mine, theirs in zip(copy.outputs, node.outputs, strict=True):
            mine.handle = theirs.handle
        if site.control_inputs and is_stateful(node.op):
            for control in site.control_inputs:
                graph.add_control_input(copy, control)
        copies[node] = copy
    names = {node.name: copy.name for node, copy in copies.items()}
    for copy in copies.values():
        _move_colocation(copy, names)
    return copies


def _move_colocation(copy: Node, names: Mapping[str, str]) -> None:
    """Lets "_class" name the copies of the nodes it named."""
    groups = copy.attrs.get("_class")
    if isinstance(groups, list):
        targets = [bytes(group).removeprefix(b"loc:@").decode() for group in groups]
        copy.attrs["_class"] = [f"loc:@{names.get(target, target)}".encode() for target in targets]


def _move_control_uses(graph: Graph, site: Node, ends: Iterable[Node]) -> None:
    """Whoever waited for the call waits for `ends`; through a NoOp where a single node must stand for them."""
    ends = list(dict.fromkeys(ends))
    if any(node is site for _, node in graph.control_outputs):
        stand_in = ends[0] if len(ends) == 1 else _no_op(graph, site, ends)
        graph.control_outputs = [(n, stand_in if node is site else node) for n, node in graph.control_outputs]
    # A call that runs nothing of its own still passes on what it waited for.
    before = ends or list(site.control_inputs)
    for node in site.control_uses:
        graph.remove_control_input(node, site)
        for end in before:
            graph.add_control_input(node, end)


def _no_op(graph: Graph, site: Node, ends: Iterable[Node]) -> Node:
    name = graph.unique_name(f"{site.name}/control")
    return graph.add_node("NoOp", name, (), {}, (), control_inputs=ends, device=site.device)
