"""A network under construction: TensorRT's layers, with symbolic shapes beside them.

Everything that rules add goes through `Network`. It follows shapes as expressions over the dimensions of the network's
inputs, so that a static attribute is used where a size is known and a shape tensor, computed from the inputs' own
shapes, where it is not. Constants, weights and the known content of shape tensors get a tensor when a layer needs it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy

from tf_blade import symbolic
from tf_blade.backends.tensorrt.library import Library
from tf_blade.backends.tensorrt.messages import Messages
from tf_blade.backends.tensorrt.values import Value
from tf_blade.backends.tensorrt.weights import WeightStore
from tf_blade.dtypes import DType, from_numpy
from tf_blade.errors import Unsupported
from tf_blade.symbolic import Dim, Shape

MAX_RANK = 8
_SHAPE_OPS = {"add": "SUM", "sub": "SUB", "mul": "PROD", "floordiv": "FLOOR_DIV", "max": "MAX", "min": "MIN"}


class Network:
    """Adds layers to an `INetworkDefinition`.

    Attributes:
        library: the TensorRT in use.
        log: where it reports errors.
        definition: the network.
        weights: what becomes of weights.
        bindings: for each symbol, what makes a tensor of its value.
        dims: unknown dimensions of all that layers make.
        limits: the largest values of symbols that the network is right for, by name, where there are any.
        prefix: of the names of inputs and outputs.
    """

    def __init__(self, library: Library, log: Messages, definition: Any, weights: WeightStore) -> None:
        self.library = library
        self.log = log
        self.trt = library.trt
        self.definition = definition
        self.weights = weights
        self.bindings: dict[sympy.Symbol, Callable[[], Any]] = {}
        self.dims: dict[Dim, None] = {}
        self.limits: dict[str, int] = {}
        self.prefix = ""
        self._scalars: dict[Dim, Any] = {}
        self._fresh = 0
        self._alive: list[Any] = []

    # Inputs, outputs and symbols.

    def input(self, name: str, dtype: DType, shape: Shape, content: np.ndarray | None = None) -> Value:
        """An input of the network; its unknown dimensions, and its unknown content, bind their symbols."""
        if len(shape) > MAX_RANK:
            raise Unsupported(f"rank {len(shape)} is beyond {MAX_RANK}")
        tensor = self.definition.add_input(
            f"{self.prefix}{name}", self.dtype(dtype), [d if isinstance(d, int) else -1 for d in shape]
        )
        if tensor is None:
            raise Unsupported(f"an input of type {dtype.name.lower()} and rank {len(shape)}")
        value = Value(dtype, shape, tensor, content=content)
        if dtype == DType.UINT8:
            value.tensor = self._out(self.definition.add_cast(tensor, self.trt.int32))
            value.dtype = DType.INT32
        self.bind(value)
        return value

    def bind(self, value: Value) -> None:
        """Symbols that are dimensions of the value, or elements of it, and that nothing has bound yet are its own."""
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, sympy.Symbol) and dim not in self.bindings:
                self.bindings[dim] = functools.partial(self._size_of, value.tensor, axis)
        for position, item in enumerate(() if value.content is None else value.content.reshape(-1)):
            if isinstance(item, sympy.Symbol) and item not in self.bindings:
                self.bindings[item] = functools.partial(self._element, value, position)

    def output(self, name: str, value: Value) -> str:
        """Makes the value an output; gives its name."""
        tensor = self._out(self.definition.add_identity(self.tensor(value)))
        tensor.name = f"{self.prefix}{name}"
        self.definition.mark_output(tensor)
        return str(tensor.name)

    def part(self, prefix: str) -> None:
        """What follows is a part of its own: its inputs and outputs have the prefix, symbols are others."""
        self.prefix = prefix
        self.bindings.clear()
        self._scalars.clear()

    def fresh_symbol(self) -> sympy.Symbol:
        """A symbol for a dimension that the network finds when it runs."""
        self._fresh += 1
        return symbolic.symbol(f"{self.prefix}found{self._fresh}")

    def limit(self, symbol: sympy.Symbol, largest: int) -> None:
        """The network is right up to this value of the symbol: its plans take no larger ones."""
        name = str(symbol.name)
        self.limits[name] = min(largest, self.limits.get(name, largest))

    def is_bound(self, dims: Shape) -> bool:
        """Whether the network can compute all of the Dims."""
        return all(item in self.bindings for item in symbolic.free_symbols(dims))

    def _size_of(self, tensor: Any, axis: int) -> Any:
        sizes = self._out(self.definition.add_shape(tensor))
        return self._out(self.definition.add_slice(sizes, (axis,), (1,), (1,)))

    def _element(self, value: Value, position: int) -> Any:
        flat = self.definition.add_shuffle(self._out(self.definition.add_cast(value.tensor, self.trt.int64)))
        flat.reshape_dims = (math.prod(int(dim) for dim in value.shape),)
        return self._out(self.definition.add_slice(self._out(flat), (position,), (1,), (1,)))

    # Types and tensors.

    def dtype(self, dtype: DType) -> Any:
        """The library's element type.

        Raises:
            Unsupported: it has none.
        """
        try:
            return self.library.dtype(dtype)
        except KeyError:
            raise Unsupported(f"TensorRT has no type {dtype.name.lower()}") from None

    def tensor(self, value: Value) -> Any:
        """The value's ITensor, made now where it has none."""
        if value.tensor is None:
            if value.weight is not None:
                value.tensor = self.weights.tensor(self, value)
            elif value.array is not None:
                value.tensor = self.constant_tensor(value.array)
            elif value.content is not None:
                value.tensor = self._content_tensor(value)
            elif value.origin is not None:
                source, axes = value.origin
                layer = self.definition.add_shuffle(self.tensor(source))
                layer.first_transpose = axes
                value.tensor = self._out(layer)
            else:
                raise Unsupported("a tensor that nothing computes")
        return value.tensor

    def constant_tensor(self, array: np.ndarray, name: str = "") -> Any:
        """A constant layer's output."""
        dtype = from_numpy(array.dtype)
        if not array.size:
            raise Unsupported("an empty constant")
        if dtype == DType.BOOL:
            # Constants of bools are not in all versions.
            layer = self.definition.add_constant(array.shape, self._weights(array.astype(np.int32)))
            return self._out(self.definition.add_cast(self._out(layer), self.trt.bool))
        weights = self._weights(array)
        layer = self.definition.add_constant(array.shape, weights)
        if name and not self.definition.set_weights_name(weights, name):
            raise Unsupported(f"weights cannot be named {name}")
        return self._out(layer)

    def _weights(self, array: np.ndarray) -> Any:
        array = np.asarray(array, order="C")
        self._alive.append(array)
        return self.trt.Weights(self.dtype(from_numpy(array.dtype)), array.ctypes.data, array.size)

    def kernel_weights(self, array: np.ndarray | None, dtype: DType = DType.FLOAT) -> Any:
        """Weights of a layer's attribute; empty ones for None."""
        if array is None:
            return self.trt.Weights(self.dtype(dtype))
        return self._weights(array)

    def constant(self, array: np.ndarray | float, dtype: DType | None = None) -> Value:
        """A constant."""
        array = np.asarray(array, dtype=None if dtype is None else dtype.numpy)
        return Value(from_numpy(array.dtype), tuple(array.shape), array=array)

    def like(self, number: float, value: Value) -> Value:
        """A scalar of the value's type."""
        return self.constant(np.asarray(number).astype(value.dtype.numpy))

    def made(self, layer: Any, dtype: DType, shape: Shape, index: int = 0) -> Value:
        """The value that a layer has made."""
        tensor = self._out(layer, index)
        if len(tensor.shape) != len(shape):
            raise Unsupported(f"a layer gave rank {len(tensor.shape)} for {len(shape)}")
        self.dims.update(dict.fromkeys(dim for dim in shape if not isinstance(dim, int)))
        return Value(dtype, tuple(shape), tensor)

    def _out(self, layer: Any, index: int = 0) -> Any:
        if layer is None:
            raise Unsupported(f"TensorRT refuses the layer: {self.log.last_error}")
        tensor = layer.get_output(index)
        try:
            tuple(tensor.shape)
        except (RuntimeError, ValueError) as error:
            raise Unsupported(f"TensorRT refuses the operands: {self.log.last_error}") from error
        return tensor

    # Shapes.

    def scalar(self, dim: Dim) -> Any:
        """A tensor of one INT64 that holds the Dim.

        Raises:
            Unsupported: it holds a symbol that nothing binds.
        """
        if dim not in self._scalars:
            self._scalars[dim] = self._compute_scalar(dim)
        return self._scalars[dim]

    def _compute_scalar(self, dim: Dim) -> Any:
        if isinstance(dim, int):
            return self.constant_tensor(np.array([dim], np.int64))
        if isinstance(dim, sympy.Symbol):
            if dim not in self.bindings:
                raise Unsupported(f"the size {dim} does not follow from the inputs")
            return self.bindings[dim]()
        names = [str(item.name) for item in symbolic.free_symbols([dim])]
        by_name = {str(item.name): item for item in symbolic.free_symbols([dim])}
        stack: list[Any] = []
        for opcode, operand in symbolic.to_rpn(dim, names):
            if opcode == "const":
                stack.append(self.scalar(operand))
            elif opcode == "sym":
                stack.append(self.scalar(by_name[names[operand]]))
            else:
                b, a = stack.pop(), stack.pop()
                stack.append(self._scalar_op(opcode, a, b))
        return stack[0]

    def _scalar_op(self, opcode: str, a: Any, b: Any) -> Any:
        if opcode == "mod":
            return self._scalar_op("sub", a, self._scalar_op("mul", self._scalar_op("floordiv", a, b), b))
        # Of two dimensions that broadcast, none empty, the larger one is the result's.
        op = getattr(self.trt.ElementWiseOperation, _SHAPE_OPS["max" if opcode == "bcast" else opcode])
        return self._out(self.definition.add_elementwise(a, b, op))

    def shape_tensor(self, dims: Sequence[Dim]) -> Any:
        """A vector of INT64 that holds the Dims."""
        if all(isinstance(dim, int) for dim in dims):
            return self.constant_tensor(np.array(dims, np.int64))
        parts = [self.scalar(dim) for dim in dims]
        return parts[0] if len(parts) == 1 else self._joined(parts)

    def size(self, dim: Dim, dtype: DType = DType.INT32) -> Value:
        """The Dim as a vector of one element."""
        if isinstance(dim, int):
            return self.constant(np.array([dim], dtype.numpy))
        return self.cast(Value(DType.INT64, (1,), self.scalar(dim)), dtype)

    def line(self, count: Dim, start: Dim = 0, step: int = 1, dtype: DType = DType.INT32) -> Value:
        """The vector start, start + step, … of so many elements."""
        if isinstance(count, int) and isinstance(start, int):
            return self.constant((start + step * np.arange(count)).astype(dtype.numpy))
        layer = self.definition.add_fill((1,), self.trt.FillOperation.LINSPACE, self.dtype(dtype))
        layer.set_input(0, self.shape_tensor([count]))
        layer.set_input(1, self.tensor(self.reshape(self.size(start, dtype), ())))
        layer.set_input(2, self.tensor(self.constant(np.array([step], dtype.numpy))))
        return self.made(layer, dtype, (count,))

    def _joined(self, parts: Sequence[Any]) -> Any:
        layer = self.definition.add_concatenation(list(parts))
        layer.axis = 0
        return self._out(layer)

    def _content_tensor(self, value: Value) -> Any:
        assert value.content is not None
        items = [symbolic.simplify(item) for item in value.content.reshape(-1)]
        if all(isinstance(item, int) for item in items):
            return self.constant_tensor(np.array(items, value.dtype.numpy).reshape(value.content.shape))
        flat = Value(DType.INT64, (len(items),), self.shape_tensor(items))
        return self.reshape(self.cast(flat, value.dtype), value.shape).tensor

    # Elements.

    def cast(self, value: Value, dtype: DType) -> Value:
        """The value as another type."""
        if value.dtype == dtype:
            return value
        array = value.constant
        if array is not None:
            return self.constant(array.astype(dtype.numpy))
        if value.content is not None and dtype in (DType.INT32, DType.INT64):
            return Value(dtype, value.shape, content=value.content)
        if value.weight is not None and value.tensor is None and dtype in (DType.HALF, DType.BFLOAT16):
            return Value(dtype, value.shape, weight=value.weight)
        through = self._through(lambda x: self.cast(x, dtype), value)
        if through is not None:
            return through
        return self.made(self.definition.add_cast(self.tensor(value), self.dtype(dtype)), dtype, value.shape)

    def unary(self, op: str, value: Value, dtype: DType | None = None) -> Value:
        """A unary layer: "EXP"."""
        through = self._through(lambda x: self.unary(op, x, dtype), value)
        if through is not None:
            return through
        layer = self.definition.add_unary(self.tensor(value), getattr(self.trt.UnaryOperation, op))
        return self.made(layer, dtype or value.dtype, value.shape)

    def activation(self, op: str, value: Value, alpha: float | None = None, beta: float | None = None) -> Value:
        """An activation layer: "RELU"."""
        through = self._through(lambda x: self.activation(op, x, alpha, beta), value)
        if through is not None:
            return through
        layer = self.definition.add_activation(self.tensor(value), getattr(self.trt.ActivationType, op))
        if alpha is not None:
            layer.alpha = alpha
        if beta is not None:
            layer.beta = beta
        return self.made(layer, value.dtype, value.shape)

    def binary(self, op: str, a: Value, b: Value, *, dtype: DType | None = None) -> Value:
        """An elementwise layer, broadcasting as NumPy does: "SUM"."""
        if a.dtype != b.dtype:
            raise Unsupported(f"operands of types {a.dtype.name.lower()} and {b.dtype.name.lower()}")
        through = self._through(lambda x, y: self.binary(op, x, y, dtype=dtype), a, b)
        if through is not None:
            return through
        a, b = self.aligned(a, b)
        layer = self.definition.add_elementwise(
            self.tensor(a), self.tensor(b), getattr(self.trt.ElementWiseOperation, op)
        )
        return self.made(layer, dtype or a.dtype, self.broadcast_shape(a, b))

    def compare(self, op: str, a: Value, b: Value) -> Value:
        """The same for comparisons, which give bools."""
        return self.binary(op, a, b, dtype=DType.BOOL)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """`a` where the condition holds, else `b`; all broadcast."""
        through = self._through(self.select, condition, a, b)
        if through is not None:
            return through
        condition, a, b = self.aligned(condition, a, b)
        layer = self.definition.add_select(self.tensor(condition), self.tensor(a), self.tensor(b))
        return self.made(layer, a.dtype, self.broadcast_shape(condition, a, b))

    def broadcast_shape(self, *values: Value) -> Shape:
        """The shape that the values broadcast to.

        Raises:
            Unsupported: they do not.
        """
        try:
            return symbolic.broadcast_shapes(*(item.shape for item in values))
        except ValueError as error:
            raise Unsupported(str(error)) from error

    def aligned(self, *values: Value) -> tuple[Value, ...]:
        """The values with the rank of the largest, by leading dimensions of 1."""
        rank = max(item.rank for item in values)
        return tuple(self.reshape(item, (1,) * (rank - item.rank) + item.shape) for item in values)

    # Movement.

    def reshape(self, value: Value, shape: Sequence[Dim]) -> Value:
        """The elements in another shape, which must have as many.

        Raises:
            Unsupported: it provably has not, or too many dimensions.
        """
        shape = tuple(symbolic.simplify(dim) for dim in shape)
        if len(shape) > MAX_RANK:
            raise Unsupported(f"rank {len(shape)} is beyond {MAX_RANK}")
        if symbolic.same_shape(value.shape, shape):
            return Value(value.dtype, shape, value.tensor, value.array, value.content, value.weight, value.origin)
        if symbolic.different(symbolic.num_elements(value.shape), symbolic.num_elements(shape)):
            raise Unsupported(f"{list(value.shape)} does not reshape to {list(shape)}")
        static = tuple(dim for dim in shape if isinstance(dim, int))
        if len(static) == len(shape) and value.tensor is None:
            if value.constant is not None:
                return self.constant(value.constant.reshape(static))
            if value.weight is not None:
                return self.weights.reshape(value, static)
        layer = self.definition.add_shuffle(self.tensor(value))
        self._set_reshape(layer, value.shape, shape)
        result = self.made(layer, value.dtype, shape)
        if value.content is not None and len(static) == len(shape):
            result.content = value.content.reshape(static)
        return result

    def _set_reshape(self, layer: Any, old: Shape, new: Shape) -> None:
        """Kept dimensions are said to be kept, one other is inferred; what remains needs a shape tensor."""
        dims: list[int] = []
        unknown = 0
        for axis, dim in enumerate(new):
            if isinstance(dim, int):
                dims.append(dim)
            elif axis < len(old) and symbolic.equal(dim, old[axis]):
                dims.append(0)
            else:
                dims.append(-1)
                unknown += 1
        if unknown <= 1 and not any(dim == 0 for dim in new):
            layer.zero_is_placeholder = True
            layer.reshape_dims = dims
        else:
            layer.zero_is_placeholder = False
            layer.set_input(1, self.shape_tensor(new))

    def transpose(self, value: Value, axes: Sequence[int]) -> Value:
        """The value with its axes permuted."""
        axes = tuple(int(axis) for axis in axes)
        if axes == tuple(range(value.rank)):
            return value
        shape = tuple(value.shape[axis] for axis in axes)
        if value.tensor is None and value.constant is not None:
            return self.constant(value.constant.transpose(axes))
        if value.tensor is None and value.weight is not None and value.weight.permute is None:
            return self.weights.transpose(value, axes)
        if value.origin is not None:
            source, inner = value.origin
            return self.transpose(source, tuple(inner[axis] for axis in axes))
        return Value(value.dtype, shape, origin=(value, axes))

    def _through(self, compute: Callable[..., Value], *values: Value) -> Value | None:
        """What an elementwise layer gives for origins of transposes, transposed: where they agree, else None."""
        origins = [item.origin for item in values if item.origin is not None and item.tensor is None]
        if not origins or any(item[1] != origins[0][1] for item in origins):
            return None
        axes = origins[0][1]
        back = tuple(axes.index(axis) for axis in range(len(axes)))
        others = [item for item in values if item.origin is None or item.tensor is not None]
        # Only what is transposed for nothing may join: constants, weights and vectors of channels.
        if any(sum(dim != 1 for dim in item.shape) > 1 and item.constant is None for item in others):
            return None
        return self.transpose(compute(*(self.transpose(item, back) for item in self.aligned(*values))), axes)

    def slice(
        self,
        value: Value,
        starts: Sequence[Dim],
        sizes: Sequence[Dim],
        strides: Sequence[Dim] | None = None,
        *,
        mode: str = "",
        fill: Value | None = None,
    ) -> Value:
        """A window; `mode` says what lies outside of the value ("FILL", "REFLECT", …), nothing by default."""
        if not value.rank:
            return value
        steps = (1,) * value.rank if strides is None else tuple(strides)
        if not mode and symbolic.same_shape(tuple(sizes), value.shape) and steps == (1,) * value.rank:
            return value
        if value.origin is not None and value.tensor is None:
            source, axes = value.origin
            back = [axes.index(axis) for axis in range(len(axes))]
            parts = ([items[axis] for axis in back] for items in (starts, sizes, steps))
            return self.transpose(self.slice(source, *parts, mode=mode, fill=fill), axes)
        static = all(isinstance(dim, int) for dim in (*starts, *sizes, *steps))
        ones = (1,) * value.rank
        arguments = (tuple(starts), tuple(sizes), steps) if static else (ones, ones, ones)
        layer = self.definition.add_slice(self.tensor(value), *arguments)
        if not static:
            for index, dims in enumerate((starts, sizes, steps), start=1):
                layer.set_input(index, self.shape_tensor(dims))
        if mode:
            layer.mode = getattr(self.trt.SampleMode, mode)
        if fill is not None:
            layer.set_input(4, self.tensor(fill))
        return self.made(layer, value.dtype, tuple(sizes))

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """The values one after the other along an axis."""
        if len(values) == 1:
            return values[0]
        orders = {None if item.origin is None or item.tensor is not None else item.origin[1] for item in values}
        order = next(iter(orders))
        if len(orders) == 1 and order is not None:
            sources = [item.origin[0] for item in values if item.origin is not None]
            return self.transpose(self.concat(sources, order[axis]), order)
        layer = self.definition.add_concatenation([self.tensor(item) for item in values])
        layer.axis = axis
        shape = list(values[0].shape)
        shape[axis] = symbolic.add(*(item.shape[axis] for item in values))
        return self.made(layer, values[0].dtype, tuple(shape))

    def broadcast(self, value: Value, shape: Sequence[Dim]) -> Value:
        """The value repeated along the dimensions that it has 1 of, to a shape of the same rank or more."""
        shape = tuple(shape)
        value = self.reshape(value, (1,) * (len(shape) - value.rank) + value.shape)
        if symbolic.same_shape(value.shape, shape):
            return value
        array = value.constant
        if array is not None and symbolic.is_static(shape) and math.prod(int(dim) for dim in shape) <= array.size:
            return self.constant(np.broadcast_to(array, tuple(int(dim) for dim in shape)))
        # A stride of 0 repeats. Sizes that are unknown may be 1 or the result's: only then are strides computed.
        strides: list[Dim] = []
        for old, new in zip(value.shape, shape, strict=True):
            if old == 1:
                strides.append(0)
            elif symbolic.equal(old, new):
                strides.append(1)
            else:
                strides.append(symbolic.minimum(symbolic.sub(old, 1), 1))
        return self.slice(value, (0,) * value.rank, shape, strides)

    # Products and reductions.

    def reduce(self, op: str, value: Value, axes: Sequence[int], *, keepdims: bool) -> Value:
        """A reduction: "SUM"."""
        if not axes:
            return value
        if value.origin is not None and value.tensor is None:
            source, order = value.origin
            kept = [axis for axis in order if axis not in [order[item] for item in axes]]
            if keepdims or kept == sorted(kept):
                result = self.reduce(op, source, [order[axis] for axis in axes], keepdims=keepdims)
                return self.transpose(result, order) if keepdims else result
        mask = sum(1 << axis for axis in set(axes))
        layer = self.definition.add_reduce(self.tensor(value), getattr(self.trt.ReduceOperation, op), mask, keepdims)
        shape = [1 if axis in axes else dim for axis, dim in enumerate(value.shape) if keepdims or axis not in axes]
        return self.made(layer, value.dtype, tuple(shape))

    def matmul(self, a: Value, b: Value, *, transpose_a: bool = False, transpose_b: bool = False) -> Value:
        """The product of the last two dimensions; leading ones broadcast."""
        operation = self.trt.MatrixOperation
        a, b = self.aligned(a, b)
        layer = self.definition.add_matrix_multiply(
            self.tensor(a),
            operation.TRANSPOSE if transpose_a else operation.NONE,
            self.tensor(b),
            operation.TRANSPOSE if transpose_b else operation.NONE,
        )
        batch = self.broadcast_shape(Value(a.dtype, a.shape[:-2]), Value(b.dtype, b.shape[:-2]))
        rows = a.shape[-1] if transpose_a else a.shape[-2]
        columns = b.shape[-2] if transpose_b else b.shape[-1]
        return self.made(layer, a.dtype, (*batch, rows, columns))

    def softmax(self, value: Value, axis: int) -> Value:
        """Softmax along an axis."""
        if value.rank == 1:  # layers want two dimensions or more
            return self.reshape(self.softmax(self.reshape(value, (1, *value.shape)), 1), value.shape)
        layer = self.definition.add_softmax(self.tensor(value))
        layer.axes = 1 << axis
        return self.made(layer, value.dtype, value.shape)

    def gather(self, value: Value, indices: Value, axis: int, batch_dims: int = 0) -> Value:
        """Elements of an axis by their indices."""
        if value.origin is not None and value.tensor is None and indices.rank == 1 and not batch_dims:
            source, axes = value.origin
            return self.transpose(self.gather(source, indices, axes[axis]), axes)
        layer = self.definition.add_gather(self.tensor(value), self.tensor(indices), axis)
        layer.num_elementwise_dims = batch_dims
        shape = (*value.shape[:axis], *indices.shape[batch_dims:], *value.shape[axis + 1 :])
        return self.made(layer, value.dtype, shape)
