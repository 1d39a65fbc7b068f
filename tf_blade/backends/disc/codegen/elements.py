"""One element of a value as C++ statements: fused ops are functions of an index, composed down to what is in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection

import numpy as np

from tf_blade.backends.disc.codegen.affine import ZERO, Atom, Lin, count, dim_equal, variable
from tf_blade.backends.disc.codegen.body import Body, Line, Part, Scalar
from tf_blade.backends.disc.codegen.ctypes_ import literal, register_type
from tf_blade.backends.disc.codegen.dims import DimTable
from tf_blade.backends.disc.codegen.index import Index
from tf_blade.backends.disc.codegen.kernel import Pointers
from tf_blade.backends.disc.ir.scalar import FNS
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.dtypes import DType
from tf_blade.symbolic import Dim

Provider = Callable[[Index], "Scalar | None"]
NEAR_BYTES = 16384  # of a table that stays in the first level cache
EXPECTED_BYTES = 256  # of a row that are announced; the processor finds what follows by itself
ROWS_AHEAD = 32  # of all tables, that are on their way


class Elements:
    """Emits elements of values into a Body.

    Attributes:
        body: where statements go.
        ops: the ops computed here; all other values are read from memory.
        providers: for values with a source of their own (an accumulator, a row buffer); None means: compute it.
        loads: the elements in memory that were read: pointer and offset.
    """

    def __init__(self, body: Body, ops: Collection[Op], pointers: Pointers, table: DimTable) -> None:
        self.body = body
        self.ops = ops
        self.pointers = pointers
        self.table = table
        self.providers: dict[Value, Provider] = {}
        self.loads: list[tuple[str, Lin]] = []
        self._loaded: dict[str, tuple[Value, Lin]] = {}
        self._picked: dict[str, tuple[Value, Lin]] = {}
        self._rows: dict[tuple[Value, Value, Lin, int], None] = {}

    def element(self, value: Value, index: Index) -> Scalar:
        """The element as an expression of its register type."""
        return self.body.cached((value, index.flat), lambda: self._element(value, index))

    def _element(self, value: Value, index: Index) -> Scalar:
        provider = self.providers.get(value)
        if provider is not None:
            given = provider(index)
            if given is not None:
                return given
        if value.kind == "constant":
            return self._constant(value, index)
        if value.op in self.ops:
            return _HANDLERS[value.kind](self, value, index)
        return self.load(value, index.flat)

    def load(self, value: Value, flat: Lin) -> Scalar:
        """An element in memory."""
        pointer = self.pointers.read(value)
        kind = register_type(value.dtype)
        self.loads.append((pointer, flat))
        parts = (f"{pointer}[", flat, "] != 0") if kind == "bool" else (f"{pointer}[", flat, "]")
        self._note_row(value, flat)
        item = self.body.define(kind, flat.level, *parts, wide=wide_load(value.dtype, pointer, flat))
        self._loaded[item.text] = (value, flat)
        return item

    def _note_row(self, table: Value, flat: Lin) -> None:
        """Notes that a row of a table is read, the number of which was read from memory for this row of the loops."""
        outer = [atom for atom in flat.terms if atom.level == 1]
        if len(outer) != 1 or outer[0].name not in self._picked:
            return
        width, size = flat.terms[outer[0]], count(table.shape)
        if isinstance(width, int) and not (isinstance(size, int) and size * table.dtype.size <= NEAR_BYTES):
            self._rows.setdefault((table, *self._picked[outer[0].name], width))

    def expect_rows(self, outer: Collection[Atom]) -> None:
        """Has each row of the `outer` loops announce what one after it will read from tables. Called after all passes.

        Rows of tables lie anywhere in memory: hundreds of cycles away, unless many are on their way at a time.
        """
        rows = []
        for table, numbers, flat, width in self._rows:
            steps = [step for step in flat.terms.values() if isinstance(step, int)]
            if not steps or not all(atom in outer for atom in flat.terms):
                continue
            size = min(width * table.dtype.size, EXPECTED_BYTES)
            later = flat.shifted(min(steps) * max(2, ROWS_AHEAD // len(self._rows)))
            call = f"expect_row<{size}>({self.pointers.read(table)}, {width}, {self.pointers.read(numbers)}, "
            rows.append(Line((call, later, ", ", count(numbers.shape), ");")))
        self.body.row[:0] = rows

    def _constant(self, value: Value, index: Index) -> Scalar:
        array: np.ndarray = value.op.attrs["array"]
        flat = array.reshape(-1)
        if flat.size and is_splat(array):
            return Scalar(literal(flat[0], value.dtype), 0)
        return self.load(value, index.flat)

    # --- maths ----------------------------------------------------------------------------------------------------
    def elementwise(self, value: Value, index: Index) -> Scalar:
        op = value.op
        operands = [
            self.element(item, Index(item.shape, flat=index.flat) if item.shape != index.shape else index)
            for item in op.operands
        ]
        fn = FNS[op.attrs["fn"]]
        level = max((item.level for item in operands), default=0)
        arguments = [item.text for item in operands]
        if fn.may_fail:
            arguments.append("error")
            level = max(level, index.flat.level)
        name = f"fn_{fn.name}"
        if fn.result == "attr":
            name += f"<{register_type(value.dtype)}>"
        elif fn.arity == 1 or fn.name == "select":
            pass
        text = f"{name}({', '.join(arguments)})"
        return self.body.define(
            register_type(value.dtype), level, text, wide=(text,) if _is_wide(op) else None, cost=fn.cost
        )

    def iota(self, value: Value, index: Index) -> Scalar:
        lin = index.multi(self.body)[value.op.attrs["axis"]]
        kind = register_type(value.dtype)
        return self.body.define(kind, lin.level, f"fn_convert<{kind}>(static_cast<int64_t>(", lin, "))")

    def dims(self, value: Value, index: Index) -> Scalar:
        content, kind = value.op.attrs["dims"], register_type(value.dtype)
        flat = index.flat
        if not flat.terms and isinstance(flat.constant, int):
            return self.body.define(kind, 0, f"static_cast<{kind}>(", content[flat.constant], ")")
        name = self.body.name("a")
        parts: list[object] = []
        for dim in content:
            parts.extend([f"static_cast<{kind}>(", dim, "), "])
        self.body.emit_kernel(f"const {kind} {name}[] = {{", *parts, "};")
        return self.body.define(kind, flat.level, f"{name}[", flat, "]")

    # --- movement -------------------------------------------------------------------------------------------------
    def broadcast(self, value: Value, index: Index) -> Scalar:
        operand = value.op.operands[0]
        multi = index.multi(self.body) if operand.rank else ()
        result = []
        for dim, axis in zip(operand.shape, value.op.attrs["axes"], strict=True):
            result.append(self._broadcast_axis(multi[axis], dim, value.shape[axis]))
        return self.element(operand, Index(operand.shape, tuple(result)))

    def _broadcast_axis(self, lin: Lin, dim: object, wide: object) -> Lin:
        if dim == 1:
            return ZERO
        if dim_equal(dim, wide):
            return lin
        step = self.table.raw(f"{self.table.c(dim, '')} == 1 ? 0 : 1", f"stride along {dim}")
        return lin.times(step)

    def reshape(self, value: Value, index: Index) -> Scalar:
        operand = value.op.operands[0]
        return self.element(operand, index.reshaped(operand.shape))

    def transpose(self, value: Value, index: Index) -> Scalar:
        operand, multi = value.op.operands[0], index.multi(self.body)
        result = [ZERO] * operand.rank
        for axis, source in enumerate(value.op.attrs["perm"]):
            result[source] = multi[axis]
        return self.element(operand, Index(operand.shape, tuple(result)))

    def slice(self, value: Value, index: Index) -> Scalar:
        operand, attrs = value.op.operands[0], value.op.attrs
        result = [
            lin.times(stride).shifted(start)
            for lin, start, stride in zip(index.multi(self.body), attrs["starts"], attrs["strides"], strict=True)
        ]
        return self.element(operand, Index(operand.shape, tuple(result)))

    def pad(self, value: Value, index: Index) -> Scalar:
        (x, fill), attrs, multi = value.op.operands, value.op.attrs, index.multi(self.body)
        if attrs["mode"] != "constant":
            return self._mirror(value, index)
        conditions: list[object] = []
        source, level = [], 0
        for axis, lin in enumerate(multi):
            low, high = attrs["low"][axis], attrs["high"][axis]
            moved = lin.shifted(Lin(constant=low).times(-1).constant)
            source.append(moved)
            if low == 0 and high == 0:
                continue
            level = max(level, lin.level)
            text = [
                " & " if conditions else "",
                "(static_cast<uint64_t>(",
                moved,
                ") < static_cast<uint64_t>(",
                x.shape[axis],
                "))",
            ]
            conditions.extend(text)
        default = self.element(fill, Index((), ()))
        return self.body.conditional(
            register_type(value.dtype),
            default,
            level,
            tuple(conditions),
            lambda: self.element(x, Index(x.shape, tuple(source))),
        )

    def _mirror(self, value: Value, index: Index) -> Scalar:
        x, attrs, body = value.op.operands[0], value.op.attrs, self.body
        helper = "mirror_reflect" if attrs["mode"] == "reflect" else "mirror_symmetric"
        source = []
        for axis, lin in enumerate(index.multi(body)):
            low, high = attrs["low"][axis], attrs["high"][axis]
            if low == 0 and high == 0:
                source.append(lin)
                continue
            moved = lin.shifted(Lin(constant=low).times(-1).constant)
            source.append(variable(body.atom(x.shape[axis], lin.level, f"{helper}(", moved, ", ", x.shape[axis], ")")))
        return self.element(x, Index(x.shape, tuple(source)))

    def gather(self, value: Value, index: Index) -> Scalar:
        (x, indices), attrs, multi = value.op.operands, value.op.attrs, index.multi(self.body)
        axis, batch = attrs["axis"], attrs["batch_dims"]
        place = (*multi[:batch], *multi[axis : axis + indices.rank - batch])
        picked = self._checked(indices, Index(indices.shape, place), x.shape[axis], count(value.shape))
        source = (*multi[:axis], picked, *multi[axis + indices.rank - batch :])
        return self.element(x, Index(x.shape, source))

    def gather_nd(self, value: Value, index: Index) -> Scalar:
        (x, indices), multi = value.op.operands, index.multi(self.body)
        batch, depth, reads = value.op.attrs["batch_dims"], int(indices.shape[-1]), count(value.shape)
        lead = multi[: indices.rank - 1]
        picked = [
            self._checked(indices, Index(indices.shape, (*lead, Lin(constant=k))), x.shape[batch + k], reads)
            for k in range(depth)
        ]
        return self.element(x, Index(x.shape, (*multi[:batch], *picked, *multi[indices.rank - 1 :])))

    def _checked(self, indices: Value, index: Index, limit: object, reads: Dim) -> Lin:
        """An element of an index tensor, checked: out of range sets the error flag and stands as 0.

        Where there is nothing to index, that would still be out of range: the kernel ends if there are `reads`.
        """
        raw = self.element(indices, index)
        body = self.body
        if limit == 0 or not isinstance(limit, int):
            any_read = () if isinstance(reads, int) else (" && ", reads, " > 0")
            body.once_kernel(
                ("limit", limit, reads), "if (", limit, " < 1", *any_read, ") {", " set_error_flag(error); return; }"
            )
        atom = body.atom(limit, max(raw.level, 0), f"checked_index({raw.text}, ", limit, ", error)")
        if raw.text in self._loaded:
            self._picked[atom.name] = self._loaded[raw.text]
        return variable(atom)

    def resize(self, value: Value, index: Index) -> Scalar:
        x, attrs, multi, body = value.op.operands[0], value.op.attrs, index.multi(self.body), self.body
        flags = f"{str(attrs['align_corners']).lower()}, {str(attrs['half_pixel_centers']).lower()}"
        mode = "nearest" if attrs["kind"] == "nearest" else "linear"
        axes = []
        for axis in (1, 2):
            scale = body.cached(("scale", value, axis), functools.partial(self._resize_axis, value, axis, flags))
            axes.append((scale.text, multi[axis], x.shape[axis]))
        if mode == "nearest":
            picked = [variable(body.atom(dim, lin.level, f"resize_nearest({z}, ", lin, ")")) for z, lin, dim in axes]
            return self.element(x, Index(x.shape, (multi[0], *picked, multi[3])))
        return self._bilinear(x, multi, axes)

    def _resize_axis(self, value: Value, axis: int, flags: str) -> Scalar:
        sizes = (value.op.operands[0].shape[axis], ", ", value.shape[axis])
        return self.body.define("ResizeAxis", 0, "resize_axis(", *sizes, f", {flags})", prefix="z")

    def _bilinear(self, x: Value, multi: tuple[Lin, ...], axes: list[tuple[str, Lin, object]]) -> Scalar:
        body = self.body
        places, weights = [], []
        for z, lin, dim in axes:
            lower = variable(body.atom(dim, lin.level, f"resize_lower({z}, ", lin, ")"))
            upper = variable(body.atom(dim, lin.level, f"resize_upper({z}, ", lin, ")"))
            places.append((lower, upper))
            weights.append(body.define("float", lin.level, f"resize_weight({z}, ", lin, ")"))
        corners = []
        for y in places[0]:
            for column in places[1]:
                corner = self.element(x, Index(x.shape, (multi[0], y, column, multi[3])))
                corners.append(body.define("float", corner.level, f"fn_convert<float>({corner.text})"))
        level = max(item.level for item in (*corners, *weights))
        dy, dx = weights
        rows = [
            body.define("float", level, f"{a.text} + ({b.text} - {a.text}) * {dx.text}")
            for a, b in (corners[:2], corners[2:])
        ]
        return body.define("float", level, f"{rows[0].text} + ({rows[1].text} - {rows[0].text}) * {dy.text}")


def wide_load(dtype: DType, pointer: str, place: Lin | str) -> tuple[Part, ...] | None:
    """A vector read from memory, where its type has vectors."""
    return (f"at.load({pointer} + (", place, "))") if dtype == DType.FLOAT else None


def wide_store(dtype: DType, pointer: str, place: Lin | str, text: str) -> tuple[Part, ...] | None:
    """A vector written to memory, where its type has vectors."""
    return (f"at.store({pointer} + (", place, f"), {text});") if dtype == DType.FLOAT else None


def _is_wide(op: Op) -> bool:
    """Whether an elementwise op has a function of vectors: all that compute in float32, conditions included."""
    fn = FNS[op.attrs["fn"]]
    if fn.name in ("select", "logical_and", "logical_or", "logical_not"):
        return all(value.dtype in (DType.FLOAT, DType.BOOL) for value in op.operands)
    return all(value.dtype == DType.FLOAT for value in op.operands) and not fn.may_fail and fn.result != "attr"


def is_splat(array: np.ndarray) -> bool:
    """Whether all elements have the same bits."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.size > 0 and flat.tobytes() == flat[:1].tobytes() * flat.size


_HANDLERS: dict[str, Callable[[Elements, Value, Index], Scalar]] = {
    "elementwise": Elements.elementwise,
    "iota": Elements.iota,
    "dims": Elements.dims,
    "broadcast": Elements.broadcast,
    "reshape": Elements.reshape,
    "transpose": Elements.transpose,
    "slice": Elements.slice,
    "pad": Elements.pad,
    "gather": Elements.gather,
    "gather_nd": Elements.gather_nd,
    "resize": Elements.resize,
}
# Kinds that are functions of an index, so that they can be computed inside of a consumer's loop.
INLINE_KINDS = frozenset(_HANDLERS)
