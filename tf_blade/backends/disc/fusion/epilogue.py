"""Which elementwise ops follow a matrix product or convolution closely enough to be its epilogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tf_blade.backends.disc.codegen.affine import count, dim_equal
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Op, Value

MAX_OPS = 16
_PLACED = frozenset({"dot", "conv2d", "conv2d_transpose", "pool2d"})


def grow_epilogue(
    root: Op,
    users: Mapping[Value, Sequence[Op]],
    results: Collection[Value],
    taken: Mapping[Op, object],
    position: Mapping[Op, int],
) -> tuple[list[Op], Value]:
    """The ops computed with `root`, itself first, and the one value that they give.

    Ops are added along the way for as long as they compute one element of the same place and type each; what is kept is
    the longest run of them that leaves a single value for others to read.
    """
    region: list[Op] = [root]
    best: tuple[list[Op], Value] = ([root], root.results[0])
    if root.kind not in _PLACED or len(root.results) != 1:
        return best
    inside = {root.result}
    while len(region) < MAX_OPS:
        ready = [op for value in inside for op in users.get(value, ()) if op not in region]
        following = min((op for op in ready if _fits(op, root, taken)), key=position.__getitem__, default=None)
        if following is None:
            break
        region.append(following)
        inside.add(following.result)
        leaving = [
            value for value in inside if value in results or any(op not in region for op in users.get(value, ()))
        ]
        if len(leaving) == 1 and leaving[0].dtype == root.result.dtype:
            best = (list(region), leaving[0])
        if root.result in results:
            break
    return best


def _fits(op: Op, root: Op, taken: Mapping[Op, object]) -> bool:
    if op in taken or len(op.results) != 1:
        return False
    if op.kind == "reshape":
        return True
    if op.kind != "elementwise" or FNS[op.attrs["fn"]].may_fail:
        return False
    return dim_equal(count(op.result.shape), count(root.result.shape))
