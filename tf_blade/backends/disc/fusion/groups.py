"""What fusion decides: which ops share a kernel."""

from __future__ import annotations

import dataclasses

from tf_blade.backends.disc.codegen.affine import dim_equal, squeezed
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Shape


@dataclasses.dataclass(frozen=True)
class Domain:
    """The elements that a kernel runs over: a shape without 1s, and which of its axes are reduced."""

    shape: Shape
    reduced: tuple[bool, ...]

    @property
    def kept_shape(self) -> Shape:
        return tuple(dim for dim, gone in zip(self.shape, self.reduced, strict=True) if not gone)

    @property
    def inner_shape(self) -> Shape:
        return tuple(dim for dim, gone in zip(self.shape, self.reduced, strict=True) if gone)

    def same_as(self, other: Domain) -> bool:
        return self.reduced == other.reduced and same_shape(self.shape, other.shape)


def same_shape(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(dim_equal(x, y) for x, y in zip(a, b, strict=True))


def reduction_domain(op: Op) -> Domain:
    """The domain of a reduction."""
    (x,) = op.operands
    pairs = [(dim, axis in op.attrs["axes"]) for axis, dim in enumerate(x.shape) if dim != 1]
    return Domain(tuple(dim for dim, _ in pairs), tuple(gone for _, gone in pairs))


def loop_domain(value: Value) -> Domain:
    """The domain of an elementwise computation of a value."""
    shape = squeezed(value.shape)
    return Domain(shape, (False,) * len(shape))


@dataclasses.dataclass(eq=False)
class Group:
    """Ops that become one kernel, or one call of a library kernel.

    Attributes:
        kind: "loop", "rows" (reductions over the innermost axes, and whatever is computed for the same rows),
            "columns" (reductions whose innermost axis stays), "concat", or the kind of the library or special op.
        outputs: values written to memory.
        ops: all ops computed, in the module's order once planning is over; an op may be in several groups.
        root: the library or special op.
        domain: what loop, rows and columns kernels run over.
    """

    kind: str
    outputs: list[Value]
    ops: dict[Op, None]
    root: Op | None = None
    domain: Domain | None = None

    def written(self) -> list[Value]:
        """Values that are in memory once it has run: an op of several results writes them all."""
        return list(dict.fromkeys(item for value in self.outputs for item in value.op.results))

    def inputs(self) -> list[Value]:
        """Values that the group reads and does not compute, in order of first use."""
        found: dict[Value, None] = {}
        for op in self.ops:
            for value in op.operands:
                if value.op not in self.ops:
                    found.setdefault(value)
        return list(found)
