"""An element's index into a tensor: per axis, as a row-major offset, or both; converted where needed."""

from __future__ import annotations

from tf_blade.backends.disc.codegen.affine import ZERO, Atom, Lin, count, flatten, split, variable
from tf_blade.backends.disc.codegen.body import Body
from tf_blade.symbolic import Dim, Shape


class Index:
    """An index into a tensor of the given shape. Give `multi`, `flat`, or both."""

    __slots__ = ("_flat", "_multi", "shape")

    def __init__(self, shape: Shape, multi: tuple[Lin, ...] | None = None, flat: Lin | None = None) -> None:
        self.shape = shape
        self._multi = multi
        self._flat = flat

    @property
    def flat(self) -> Lin:
        """The row-major offset."""
        if self._flat is None:
            assert self._multi is not None
            self._flat = flatten(self._multi, self.shape)
        return self._flat

    def multi(self, body: Body) -> tuple[Lin, ...]:
        """One affine form an axis. May emit divisions."""
        if self._multi is None:
            self._multi = delinearize(self.flat, self.shape, body)
        return self._multi

    def reshaped(self, shape: Shape) -> Index:
        """The same element of the same data in another shape."""
        return Index(shape, None, self.flat)


def delinearize(flat: Lin, shape: Shape, body: Body) -> tuple[Lin, ...]:
    """The per-axis index of a row-major offset, from the last axis up: what is not needed stays unread."""
    result: list[Lin] = [ZERO] * len(shape)
    significant = [axis for axis, dim in enumerate(shape) if dim != 1]
    rest = flat
    for axis in reversed(significant):
        if axis == significant[0]:
            result[axis] = rest
        else:
            above = count(shape[:axis])
            rest, result[axis] = divide(rest, shape[axis], above, body)
    return tuple(result)


def divide(lin: Lin, divisor: Dim, extent: Dim, body: Body) -> tuple[Lin, Lin]:
    """Quotient, in [0, extent), and remainder of a nonnegative index."""
    done = split(lin, divisor)
    if done is not None:
        return done
    level = lin.level
    if isinstance(divisor, int):
        atom: Atom = body.atom(extent, level, "(", lin, ") / ", divisor)
    else:
        atom = body.atom(extent, level, "floordiv(", lin, ", ", divisor, ")")
    quotient = variable(atom)
    return quotient, lin.plus(quotient.times(divisor).times(-1))
