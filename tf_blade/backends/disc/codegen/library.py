"""Library ops: matrix products, convolutions, pooling, attention, and the ops with an algorithm of their own.

An emitter turns a group into a `Call`. It gets a `LibraryContext`, which spells pointers, Dims and the epilogue, and
which registers what init packs. Adding a library kernel is one emitter and one line in EMITTERS.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tf_blade.backends.disc.codegen.affine import Atom, Lin, count, dim_equal, variable
from tf_blade.backends.disc.codegen.body import Body, widen
from tf_blade.backends.disc.codegen.call import NAME, Argument, Call, Definition, Packed
from tf_blade.backends.disc.codegen.ctypes_ import storage
from tf_blade.backends.disc.codegen.dims import DimTable
from tf_blade.backends.disc.codegen.elements import Elements, wide_load, wide_store
from tf_blade.backends.disc.codegen.index import Index
from tf_blade.backends.disc.codegen.kernel import Context, Pointers, renderer
from tf_blade.backends.disc.fusion.groups import Group
from tf_blade.backends.disc.ir.values import Op, Value
from tf_blade.symbolic import Dim

Emitter = Callable[["LibraryContext"], "Call | list[Call]"]


class LibraryContext:
    """What an emitter works with.

    Attributes:
        op: the library op.
        output: the value that the call writes, of the op's element count (the op's result, or its epilogue's).
    """

    def __init__(self, group: Group, context: Context, weights: Collection[Value]) -> None:
        assert group.root is not None
        self.group = group
        self.op: Op = group.root
        self.output: Value = group.outputs[0]
        self._context = context
        self._weights = weights
        self._arguments: list[Argument] = []
        self._definitions: list[Definition] = []

    def pointer(self, value: Argument) -> str:
        """The typed pointer of an operand, an output or packed weights, for use in statements."""
        if isinstance(value, Value):
            value = self._context.resolve(value)
        if value not in self._arguments:
            self._arguments.append(value)
        return f"$[{self._arguments.index(value)}]"

    def dim(self, dim: Dim) -> str:
        """A Dim as a C++ expression for statements."""
        return self._context.table.c(dim)

    @property
    def table(self) -> DimTable:
        """The program's Dims."""
        return self._context.table

    def is_weight(self, value: Value) -> bool:
        """Whether the value is the same in every call, so that `packed` may take it."""
        return value in self._weights

    def packed(self, key: str, source: Value, bytes_: str, fill: str) -> str:
        """The `const float*` of something that init makes of a weight; see `call.Packed`."""
        return self.pointer(Packed(key, source, bytes_, fill))

    def define(self, definition: Definition) -> str:
        """The name of a definition, for use in statements."""
        if definition not in self._definitions:
            self._definitions.append(definition)
        return f"@{self._definitions.index(definition)}@"

    def has_epilogue(self) -> bool:
        """Whether anything is computed after the op; reshapes alone are not."""
        return any(op.kind != "reshape" for op in self.group.ops if op is not self.op)

    def epilogue(self, none: str) -> str:
        """An expression of the functor `void operator()(int64_t m, int64_t n_begin, int64_t n_end, T* c) const`.

        m counts rows of the result's last dimension across all others. `none` is returned when there is nothing to do.
        """
        if not self.has_epilogue():
            return none
        definition, arguments = build_epilogue(self.group, self._context)
        pointers = "".join(f", {self.pointer(value)}" for value in arguments)
        return f"{self.define(definition)}{{d, &error{pointers}}}"

    def call(self, *statements: str, heavy: bool = True, found: Sequence[Dim] = ()) -> Call:
        """The finished call; the context is ready for another."""
        call = Call(statements, tuple(self._arguments), tuple(self._definitions), heavy, tuple(found), self.op)
        self._arguments.clear()
        self._definitions.clear()
        return call


def build_epilogue(group: Group, context: Context) -> tuple[Definition, list[Value]]:
    """The functor of a library group's epilogue, and the values whose pointers it is made with."""
    assert group.root is not None
    root, output = group.root.results[0], group.outputs[0]
    columns = root.shape[-1]
    row, column = Atom("m", count(root.shape[:-1]), 1), Atom("n", columns, 2)
    flat = variable(row).times(columns).plus(variable(column))
    body, pointers = Body(), Pointers(context.resolve)
    ops = {op: None for op in group.ops if op is not group.root}
    elements = Elements(body, ops, pointers, context.table)
    kind = storage(root.dtype)
    loop = body.begin_pass([column])
    loop.bounds = ("n_begin", "n_end")

    def accumulated(index: Index) -> object:
        assert index.flat == flat, "an epilogue reads the product at its own place"
        wide = wide_load(root.dtype, "c", "n - n_begin")
        return body.cached("accumulated", lambda: body.define(kind, 2, "c[n - n_begin]", wide=wide))

    elements.providers[root] = accumulated  # type: ignore[assignment]
    result = elements.element(output, Index(output.shape, _multi(output, row, column), flat))
    wide = wide_store(root.dtype, "c", "n - n_begin", result.text)
    body.emit(2, f"c[n - n_begin] = {result.text};", wide=wide)
    body.end_pass()
    widen(loop)
    render, dims = renderer(context.table)
    lines = render.items(body.kernel, 2) + render.items(body.row, 2)
    members = [f"  {text};" for text in ["const Dims& d", "int32_t* error", *pointers.parameters()]]
    text = "\n".join(
        [
            f"struct {NAME} {{",
            *members,
            "  BLADE_ALWAYS_INLINE void operator()(int64_t m, int64_t n_begin, int64_t n_end,",
            f"                                      {kind}* __restrict c) const {{",
            "    (void)m;",
            *(f"    {line}" for line in dims.locals()),
            *lines,
            "  }",
            "};",
        ]
    )
    comment = tuple(f"// epilogue of {group.root.kind}: {op.attrs.get('fn', op.kind)}" for op in ops)
    return Definition("Epilogue", text, comment), [value for value in pointers.arguments() if isinstance(value, Value)]


def _multi(value: Value, row: Atom, column: Atom) -> tuple[Lin, ...] | None:
    """The index axis by axis for matrices; others are divided when an operand asks."""
    if value.rank == 2 and row.extent is not None and dim_equal(value.shape[0], row.extent):
        return variable(row), variable(column)
    return None


EMITTERS: dict[str, Emitter] = {}


def emitter(kind: str) -> Callable[[Emitter], Emitter]:
    """Registers the emitter of an op kind."""

    def register(fn: Emitter) -> Emitter:
        EMITTERS[kind] = fn
        return fn

    return register
