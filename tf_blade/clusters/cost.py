"""Whether a cluster is worth an engine call: estimated microseconds that TensorFlow spends and an engine does not.

    gain = launches saved + memory traffic saved + faster products - cost of one call

The constants are orders of magnitude of a server's CPU core, not measurements of any one: the threshold separates
"three scalar ops" from "a layer", and nothing near it matters much. Unknown dimensions count as `NOMINAL`, which is
small on purpose: a cluster that pays off at batch 8 pays off above.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from tf_blade import symbolic
from tf_blade.graph.graph import Node, Tensor
from tf_blade.symbolic import Dim, Shape

NOMINAL = 8

LAUNCH_US = 1.5  # one kernel through TensorFlow's executor: dispatch, output allocation, reference counts
PASS_LAUNCH_US = 0.4  # the same for a kernel that only forwards a buffer
CALL_US = 5.0  # guard, context from the pool, arena
TENSOR_US = 0.1  # each input and output of a call
BYTES_PER_US = 20e3  # memory traffic that fusion removes: 20 GB/s, what one core reads or writes from the last cache
FLOPS_PER_US = 300e3  # TensorFlow's matrix products
PRODUCT_GAIN = 0.1  # part of that time that packed weights and fused epilogues save

# Ops that compute nothing: they give their input's buffer another name or shape, or bring in what exists already.
PASS_OPS = frozenset({
    "Const", "ExpandDims", "Identity", "IdentityN", "PreventGradient", "ReadVariableOp", "Reshape", "Shape", "ShapeN",
    "Rank", "Size", "Snapshot", "Squeeze", "StopGradient",
})  # fmt: skip

LOOPS = frozenset({"StatelessWhile", "While"})


def is_computing(node: Node) -> bool:
    """Whether the node does work of its own."""
    return node.op not in PASS_OPS


@functools.lru_cache(maxsize=65536)
def nominal(dim: Dim) -> int:
    """The Dim with every symbol at its nominal size; never negative."""
    if isinstance(dim, int):
        return max(dim, 0)
    try:
        return max(symbolic.evaluate(dim, {str(item.name): NOMINAL for item in dim.free_symbols}), 0)
    except (ZeroDivisionError, TypeError):
        return NOMINAL


def nominal_bytes(tensor: Tensor) -> int:
    """Size of a tensor at nominal dimensions; 0 where it has no size (resources, unknown rank)."""
    shape: Shape | None = tensor.shape
    if shape is None:
        return 0
    count = 1
    for dim in shape:
        count *= nominal(dim)
    try:
        return count * tensor.dtype.size
    except KeyError:
        return 0


def gain_us(nodes: Iterable[Node], inputs: Sequence[Tensor], outputs: Sequence[Tensor], flops: Dim) -> float:
    """Estimated microseconds that an engine of these nodes saves in one call; negative when it costs some."""
    return work_us(nodes, outputs) + products_us(flops) - CALL_US - TENSOR_US * (len(inputs) + len(outputs))


def work_us(nodes: Iterable[Node], outputs: Iterable[Tensor]) -> float:
    """What TensorFlow spends on launching the nodes and on writing and reading tensors that an engine keeps inside."""
    leaving = set(outputs)
    total = 0.0
    for node in nodes:
        if node.op == "Const":
            continue
        total += LAUNCH_US if is_computing(node) else PASS_LAUNCH_US
        turns = NOMINAL if node.op in LOOPS else 1
        total += turns * sum(work_us(body.nodes, ()) for body in node.bodies.values())
        if is_computing(node):
            kept = sum(nominal_bytes(tensor) for tensor in node.outputs if tensor not in leaving)
            total += 2 * kept / BYTES_PER_US
    return total


def products_us(flops: Dim) -> float:
    """What faster matrix products and convolutions save."""
    return PRODUCT_GAIN * nominal(flops) / FLOPS_PER_US
