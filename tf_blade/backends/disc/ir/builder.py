"""Builds IR: one method for each op kind, plus the small conveniences that op rules need.

Methods take and give Values, normalise attributes, skip what does nothing (a reshape to the same shape gives its
operand) and keep `Value.sym` up to date. Conditions on dimensions that cannot be proven become constraints of the
module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy

from tf_blade import symbolic
from tf_blade.backends.disc.ir import sym
from tf_blade.backends.disc.ir.spec import SPECS
from tf_blade.backends.disc.ir.values import Constraint, Module, Op, TensorType, Value
from tf_blade.dtypes import DType
from tf_blade.errors import Unsupported
from tf_blade.symbolic import Dim, Shape


class Builder:
    """Makes the ops of one module.

    Attributes:
        constraints: conditions the ops made so far rely on.
        unifications: (symbol, dimension) pairs assumed equal, from broadcasts of two unknown dimensions and the like.
            Whoever drives the lowering may substitute them in the inputs and lower again; the constraints stay true.
        depth: how many functions deep the lowering is.
        binders: first results of the ops that find dimensions when they run, in order.
        late: the symbols made for such dimensions, in order.

    Args:
        substitution: what late symbols are known to be equal to.
    """

    def __init__(self, substitution: Mapping[sympy.Symbol, Dim] | None = None) -> None:
        self.binders: list[Value] = []
        self.late: dict[sympy.Symbol, None] = {}
        self._substitution = dict(substitution or {})
        self._observed: dict[Value, Value] = {}
        self.constraints: list[Constraint] = []
        self.unifications: list[tuple[sympy.Symbol, Dim]] = []
        self.parameters: list[Value] = []
        self.depth = 0

    # --- sources --------------------------------------------------------------------------------------------------
    def parameter(
        self,
        dtype: DType,
        shape: Sequence[Dim],
        *,
        name: str = "",
        weight: bool = False,
        value: np.ndarray | None = None,
    ) -> Value:
        """Input number len(parameters). `value`: its symbolic content, where known."""
        attrs = {"index": len(self.parameters), "weight": weight, "name": name, "type": TensorType(dtype, tuple(shape))}
        result = self._make("parameter", (), attrs)
        result.sym = value
        self.parameters.append(result)
        return result

    def constant(self, array: np.ndarray) -> Value:
        """A constant baked into the executable. `array` must not be changed after."""
        return self._make("constant", (), {"array": np.asarray(array)})

    def scalar(self, value: Any, dtype: DType) -> Value:
        """A constant of rank 0."""
        return self.constant(np.asarray(value).astype(dtype.numpy))

    def full(self, value: Any, dtype: DType, shape: Sequence[Dim]) -> Value:
        """A tensor whose elements all are `value`."""
        return self.broadcast(self.scalar(value, dtype), shape, ())

    def dims(self, content: np.ndarray, dtype: DType = DType.INT32) -> Value:
        """An integer tensor of the given Dims (an object array, or anything NumPy makes one of)."""
        array = np.array(content, dtype=object)
        if all(isinstance(item, int) for item in array.reshape(-1)):
            limits = np.iinfo(dtype.numpy)
            if any(not limits.min <= item <= limits.max for item in array.reshape(-1)):
                raise Unsupported(f"a size beyond the range of {dtype.name.lower()}")
            return self.constant(array.astype(dtype.numpy))
        attrs = {"dims": tuple(array.reshape(-1)), "shape": array.shape, "dtype": dtype}
        result = self._make("dims", (), attrs)
        result.sym = array
        return result

    def iota(self, shape: Sequence[Dim], axis: int, dtype: DType) -> Value:
        """result[i0, i1, …] = i_axis."""
        return self._make("iota", (), {"shape": tuple(shape), "axis": axis, "dtype": dtype})

    # --- elementwise ----------------------------------------------------------------------------------------------
    def elementwise(self, fn: str, *operands: Value, dtype: DType | None = None) -> Value:
        """`fn` of scalar.FNS; operands of one shape (see `binary` for broadcasting). `dtype` for convert and
        bitcast.
        """
        attrs: dict[str, Any] = {"fn": fn}
        if dtype is not None:
            attrs["dtype"] = dtype
        return self._make("elementwise", operands, attrs)

    def convert(self, x: Value, dtype: DType) -> Value:
        """Cast; gives x itself where it has the type already."""
        return x if x.dtype == dtype else self.elementwise("convert", x, dtype=dtype)

    def binary(self, fn: str, a: Value, b: Value) -> Value:
        """`fn` of two operands with NumPy broadcasting."""
        return self.elementwise(fn, *self.broadcast_together(a, b))

    def broadcast_together(self, *operands: Value) -> list[Value]:
        """The operands broadcast to their common shape, as NumPy does."""
        shape = self.common_shape(*(item.shape for item in operands))
        return [self.broadcast_to(item, shape) for item in operands]

    def common_shape(self, *shapes: Shape) -> Shape:
        """NumPy's broadcast of shapes. Two unknown dimensions that meet are taken to be equal, which becomes a
        constraint.

        Raises:
            Unsupported: they cannot be broadcast.
        """
        rank = max(len(shape) for shape in shapes)
        result: list[Dim] = [1] * rank
        for shape in shapes:
            for axis, dim in enumerate(shape, start=rank - len(shape)):
                result[axis] = self._common_dim(result[axis], dim)
        return tuple(result)

    def _common_dim(self, a: Dim, b: Dim) -> Dim:
        if symbolic.equal(a, b) or b == 1:
            return a
        if a == 1:
            return b
        if isinstance(a, int) and isinstance(b, int):
            raise Unsupported(f"dimensions {a} and {b} do not broadcast")
        if isinstance(a, int) or isinstance(b, int):
            self._constrain("broadcast", a, b)
            return a if isinstance(a, int) else b
        return self.unify(a, b)

    def broadcast_to(self, x: Value, shape: Sequence[Dim]) -> Value:
        """NumPy's broadcast_to: new dimensions come in front."""
        return self.broadcast(x, shape, tuple(range(len(shape) - x.rank, len(shape))))

    def broadcast(self, x: Value, shape: Sequence[Dim], axes: Sequence[int]) -> Value:
        """Operand axis i becomes result axis axes[i] (ascending); an operand dimension is the result's or 1."""
        if len(shape) == x.rank and symbolic.same_shape(x.shape, tuple(shape)):
            return x
        return self._make("broadcast", (x,), {"shape": tuple(shape), "axes": tuple(axes)})

    # --- shape and movement ---------------------------------------------------------------------------------------
    def reshape(self, x: Value, shape: Sequence[Dim]) -> Value:
        """Row-major order is kept. An element count that cannot be proven equal becomes a constraint."""
        target = tuple(symbolic.simplify(dim) for dim in shape)
        if symbolic.same_shape(x.shape, target):
            return x
        self.require_equal(x.type.num_elements, symbolic.num_elements(target))
        return self._make("reshape", (x,), {"shape": target})

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """Result axis i is operand axis perm[i]."""
        return x if list(perm) == list(range(x.rank)) else self._make("transpose", (x,), {"perm": tuple(perm)})

    def slice(
        self, x: Value, starts: Sequence[Dim], sizes: Sequence[Dim], strides: Sequence[int] | None = None
    ) -> Value:
        """result[i] = x[starts + i * strides]; the caller answers for the range. Negative strides walk backwards."""
        steps = tuple(strides) if strides is not None else (1,) * x.rank
        if all(s == 1 for s in steps) and all(s == 0 for s in starts) and symbolic.same_shape(x.shape, tuple(sizes)):
            return x
        return self._make("slice", (x,), {"starts": tuple(starts), "sizes": tuple(sizes), "strides": steps})

    def reverse(self, x: Value, axes: Sequence[int]) -> Value:
        """Flips the given axes."""
        starts = [symbolic.sub(d, 1) if i in axes else 0 for i, d in enumerate(x.shape)]
        return self.slice(x, starts, x.shape, [-1 if i in axes else 1 for i in range(x.rank)])

    def pad(
        self, x: Value, low: Sequence[Dim], high: Sequence[Dim], *, value: Value | None = None, mode: str = "constant"
    ) -> Value:
        """Pads each axis; `value` is a scalar, 0 when not given. Modes: constant, reflect, symmetric."""
        if all(item == 0 for item in (*low, *high)):
            return x
        fill = value if value is not None else self.scalar(0, x.dtype)
        return self._make("pad", (x, fill), {"low": tuple(low), "high": tuple(high), "mode": mode})

    def concat(self, operands: Sequence[Value], axis: int) -> Value:
        """Joins along axis; the other dimensions must be equal (constraints where not proven)."""
        for item in operands[1:]:
            for i, (a, b) in enumerate(zip(operands[0].shape, item.shape, strict=True)):
                if i != axis:
                    self.require_equal(a, b)
        return operands[0] if len(operands) == 1 else self._make("concat", tuple(operands), {"axis": axis})

    def gather(self, x: Value, indices: Value, axis: int, batch_dims: int = 0) -> Value:
        """tf.gather; an index out of range is an error of the call."""
        return self._make("gather", (x, indices), {"axis": axis, "batch_dims": batch_dims})

    def gather_nd(self, x: Value, indices: Value, batch_dims: int = 0) -> Value:
        return self._make("gather_nd", (x, indices), {"batch_dims": batch_dims})

    def scatter(self, x: Value, indices: Value, updates: Value, mode: str) -> Value:
        """tf.tensor_scatter_nd_update, _add, … by mode: update add sub mul max min."""
        return self._make("scatter", (x, indices, updates), {"mode": mode})

    # --- reductions, products, images, composites -----------------------------------------------------------------
    def reduce(
        self, kind: str, x: Value, axes: Sequence[int], *, keepdims: bool = False, may_lose_nan: bool = False
    ) -> Value:
        """kind: sum prod max min and or. Over axes, which disappear, or stay as 1 with keepdims.

        With may_lose_nan the caller does not care for the maximum where there is a NaN among the elements.
        """
        axes = tuple(sorted(axes))
        attrs: dict[str, Any] = {"kind": kind, "axes": axes}
        if may_lose_nan:
            attrs["may_lose_nan"] = True
        result = self._make("reduce", (x,), attrs) if axes else x
        return self.reshape(result, [1 if i in axes else d for i, d in enumerate(x.shape)]) if keepdims else result

    def arg_reduce(self, kind: str, x: Value, axis: int, dtype: DType) -> Value:
        return self._make("arg_reduce", (x,), {"kind": kind, "axis": axis, "dtype": dtype})

    def cumulative(self, kind: str, x: Value, axis: int, *, exclusive: bool = False, reverse: bool = False) -> Value:
        attrs = {"kind": kind, "axis": axis, "exclusive": exclusive, "reverse": reverse}
        return self._make("cumulative", (x,), attrs)

    def topk(self, x: Value, k: Dim, dtype: DType) -> tuple[Value, Value]:
        """Values and indices of the k largest along the last axis, sorted."""
        op = self._make_op("topk", (x,), {"k": k, "dtype": dtype})
        return op.results[0], op.results[1]

    def search_sorted(self, sequence: Value, values: Value, dtype: DType, *, upper: bool) -> Value:
        """For each value of a row how many elements of the row's sequence are less (upper: not greater)."""
        return self._make("search_sorted", (sequence, values), {"upper": upper, "dtype": dtype})

    def dot(self, a: Value, b: Value, *, transpose_a: bool = False, transpose_b: bool = False) -> Value:
        """Matrix product of the last two axes; batch dimensions equal, or none in b."""
        self.require_equal(a.shape[-2 if transpose_a else -1], b.shape[-1 if transpose_b else -2])
        if b.rank > 2:
            for x, y in zip(a.shape[:-2], b.shape[:-2], strict=True):
                self.require_equal(x, y)
        return self._make("dot", (a, b), {"transpose_a": transpose_a, "transpose_b": transpose_b})

    def conv2d(
        self,
        x: Value,
        w: Value,
        *,
        strides: Sequence[int],
        dilations: Sequence[int],
        low: Sequence[Dim],
        high: Sequence[Dim],
        groups: int = 1,
    ) -> Value:
        """NHWC by HWIO; two values each for height and width. groups == channels is depthwise."""
        attrs = {"strides": tuple(strides), "dilations": tuple(dilations), "low": tuple(low), "high": tuple(high)}
        return self._make("conv2d", (x, w), {**attrs, "groups": groups})

    def conv2d_transpose(
        self,
        dy: Value,
        w: Value,
        *,
        strides: Sequence[int],
        dilations: Sequence[int],
        low: Sequence[Dim],
        high: Sequence[Dim],
        size: Sequence[Dim],
    ) -> Value:
        """Gradient of conv2d for its input, of spatial size `size`."""
        attrs = {"strides": tuple(strides), "dilations": tuple(dilations), "low": tuple(low), "high": tuple(high)}
        return self._make("conv2d_transpose", (dy, w), {**attrs, "size": tuple(size)})

    def pool2d(
        self,
        kind: str,
        x: Value,
        *,
        window: Sequence[int],
        strides: Sequence[int],
        low: Sequence[Dim],
        high: Sequence[Dim],
    ) -> Value:
        attrs = {
            "kind": kind,
            "window": tuple(window),
            "strides": tuple(strides),
            "low": tuple(low),
            "high": tuple(high),
        }
        return self._make("pool2d", (x,), attrs)

    def resize(
        self, kind: str, x: Value, size: Sequence[Dim], *, align_corners: bool, half_pixel_centers: bool
    ) -> Value:
        attrs = {
            "kind": kind,
            "size": tuple(size),
            "align_corners": align_corners,
            "half_pixel_centers": half_pixel_centers,
        }
        return self._make("resize", (x,), attrs)

    def softmax(self, x: Value, *, log: bool = False) -> Value:
        """Along the last axis."""
        return self._make("softmax", (x,), {"log": log})

    def layer_norm(self, x: Value, gamma: Value | None, beta: Value | None, epsilon: float) -> Value:
        """Over the last axis; gamma and beta of that dimension."""
        attrs = {"epsilon": float(epsilon), "scale": gamma is not None, "center": beta is not None}
        return self._make("layer_norm", tuple(item for item in (x, gamma, beta) if item is not None), attrs)

    def attention(self, q: Value, k: Value, v: Value, mask: Value | None, scale: float, *, fill: bool = False) -> Value:
        """`mask` is added to the scores or, with `fill`, takes their place where it is not 0."""
        operands = tuple(item for item in (q, k, v, mask) if item is not None)
        attrs = {
            "scale": float(scale),
            "mask": mask is not None,
            "fill": fill,
            "swapped": (False, False, False, False),
            "parts": (None, None, None),
        }
        return self._make("attention", operands, attrs)

    # --- regions --------------------------------------------------------------------------------------------------
    def region(self) -> Builder:
        """A builder for a region of this module; see `finish_region`."""
        inner = Builder()
        inner.depth = self.depth + 1
        return inner

    def finish_region(self, inner: Builder, name: str, results: Sequence[Value]) -> Module:
        """The region that `inner` has built: what its ops assume, this module assumes.

        Raises:
            Unsupported: an op finds a dimension when it runs, each time another one.
        """
        if inner.late or inner.binders:
            raise Unsupported("an op in a loop, branch or call finds the size of its result")
        for item in inner.constraints:
            self._constrain(item.kind, item.a, item.b)
        self.unifications += inner.unifications
        return Module(name, list(inner.parameters), list(results))

    def while_loop(
        self,
        cond: Module,
        body: Module,
        carried: Sequence[Value],
        captured: Sequence[Value],
        *,
        entered: bool = False,
        trips: Dim | None = None,
    ) -> tuple[Value, ...]:
        """The carried values at the end; see the spec."""
        attrs = {"cond": cond, "body": body, "carried": len(carried), "entered": entered, "trips": trips}
        return self._make_op("while", (*carried, *captured), attrs).results

    def switch(self, index: Value, branches: Sequence[Module], captured: Sequence[Value]) -> tuple[Value, ...]:
        """The results of the branch that an int32 chooses; of the last one where there is no such branch."""
        return self._make_op("switch", (index, *captured), {"branches": tuple(branches)}).results

    def update_row(self, x: Value, index: Value, row: Value) -> Value:
        """x with x[index] = row; an index out of range is an error of the call."""
        for a, b in zip(x.shape[1:], row.shape, strict=True):
            self.require_equal(a, b)
        return self._make("update_row", (x, index, self.reshape(row, x.shape[1:])), {})

    # --- dimensions -----------------------------------------------------------------------------------------------
    def late_dim(self, name: str, *, signed: bool = False) -> Dim:
        """A dimension, or with `signed` any integer, that an op finds when it runs. The same name is the same one."""
        symbol = symbolic.value_symbol(name) if signed else symbolic.symbol(name)
        self.late.setdefault(symbol)
        return symbolic.substitute(symbol, self._substitution)

    def observe(self, x: Value, name: str) -> Value:
        """A small integer tensor whose elements become Dims, of names that begin with `name`, when the op runs."""
        if x not in self._observed:
            count = int(x.type.num_elements)
            found = [self.late_dim(f"{name}/{i}", signed=True) for i in range(count)]
            (self._observed[x],) = self.find("observe", (x,), found)
        return self._observed[x]

    def call(self, kind: str, operands: Sequence[Value], /, **attrs: Any) -> tuple[Value, ...]:
        """The results of an op of a kind that no method here is named for."""
        return self._make_op(kind, tuple(operands), attrs).results

    def find(self, kind: str, operands: Sequence[Value], found: Sequence[Dim], /, **attrs: Any) -> tuple[Value, ...]:
        """The results of an op of a kind that finds dimensions."""
        return self._make_op(kind, tuple(operands), {**attrs, "found": tuple(found)}).results

    def require_equal(self, a: Dim, b: Dim) -> None:
        """Makes a == b a constraint where it is not proven.

        Raises:
            Unsupported: they are provably different; TensorFlow will report the error.
        """
        if symbolic.equal(a, b):
            return
        if symbolic.different(a, b):
            raise Unsupported(f"dimensions {a} and {b} are never equal")
        self.unify(a, b)

    def require_at_least(self, a: Dim, b: Dim) -> None:
        """Makes a >= b a constraint where it is not proven."""
        difference = symbolic.sub(a, b)
        if isinstance(difference, int):
            if difference < 0:
                raise Unsupported(f"{a} is less than {b}")
        elif not difference.is_nonnegative:
            self._constrain("at_least", a, b)

    def unify(self, a: Dim, b: Dim) -> Dim:
        """Assumes two Dims equal, as a constraint, and gives the one to use on."""
        self._constrain("equal", a, b)
        if isinstance(a, sympy.Symbol):
            self.unifications.append((a, b))
        elif isinstance(b, sympy.Symbol):
            self.unifications.append((b, a))
        return b if isinstance(b, int) else a

    def _constrain(self, kind: str, a: Dim, b: Dim) -> None:
        item = Constraint(kind, a, b)
        if item not in self.constraints:
            self.constraints.append(item)

    # --- making ops -----------------------------------------------------------------------------------------------
    def module(self, name: str, results: Sequence[Value]) -> Module:
        """The module of what was built."""
        return Module(
            name, list(self.parameters), list(results), list(self.constraints), list(dict.fromkeys(self.binders))
        )

    def rebuild(self, op: Op, operands: Sequence[Value], **changes: Any) -> Op:
        """An op like `op` on other operands and, maybe, other attributes."""
        return self._make_op(op.kind, tuple(operands), {**op.attrs, **changes})

    def _make(self, kind: str, operands: Sequence[Value], attrs: dict[str, Any]) -> Value:
        return self._make_op(kind, tuple(operands), attrs).result

    def _make_op(self, kind: str, operands: tuple[Value, ...], attrs: dict[str, Any]) -> Op:
        try:
            types = SPECS[kind].infer([item.type for item in operands], attrs)
        except ValueError as error:
            raise Unsupported(f"{kind}: {error}") from error
        op = Op(kind, operands, attrs, types)
        for value, content in zip(op.results, sym.evaluate(op), strict=False):
            value.sym = content
        if SPECS[kind].found is not None:
            self.binders.append(op.results[0])
        return op
