"""Sources and no-ops: constants, variables, identities."""

from __future__ import annotations

from collections.abc import Sequence

from tf_blade.backends.disc.ir.values import Value
from tf_blade.backends.disc.ops.base import OpContext, op
from tf_blade.dtypes import ALL, DType
from tf_blade.errors import Unsupported
from tf_blade.graph.attributes import ShapeAttr, TensorAttr


@op("Const", types={"dtype": ALL})
def const(ctx: OpContext) -> Value:
    """A constant of any size; the lowering of a whole cluster makes large ones weights instead."""
    value = ctx.node.attrs["value"]
    if not isinstance(value, TensorAttr) or value.array is None:
        raise Unsupported("a constant that is no array")
    return ctx.b.constant(value.array)


@op("Identity", types={"T": ALL | {DType.RESOURCE, DType.VARIANT}})
def identity(ctx: OpContext) -> Value:
    """Of lists too, and of variables' handles where an engine need not give them to others: in loops and branches."""
    ctx.require(ctx.attr("T") != DType.RESOURCE or ctx.b.depth > 0, "it only names a resource")
    return ctx.inputs[0]


@op("StopGradient", "PreventGradient", "Snapshot", "GuaranteeConst", "DebugGradientIdentity", types={"T": ALL})
def snapshot(ctx: OpContext) -> Value:
    return ctx.inputs[0]


@op("IdentityN")
def identity_n(ctx: OpContext) -> Sequence[Value]:
    return ctx.inputs


@op("ReadVariableOp", types={"dtype": ALL})
def read_variable(ctx: OpContext) -> Value:
    """The handle arrives as the variable's tensor."""
    ctx.require(ctx.inputs[0].dtype == ctx.attr("dtype"), "reads another type than the variable's")
    return ctx.inputs[0]


@op("EnsureShape", types={"T": ALL})
def ensure_shape(ctx: OpContext) -> Value:
    """The input, whose shape is checked: a call with another one is TensorFlow's, which reports the error."""
    (x,) = ctx.inputs
    wanted = ctx.node.attrs.get("shape")
    if not isinstance(wanted, ShapeAttr) or wanted.dims is None:
        return x
    ctx.require(len(wanted.dims) == x.rank, f"rank {x.rank} is not {len(wanted.dims)}")
    shape = [dim if size < 0 else size for dim, size in zip(x.shape, wanted.dims, strict=True)]
    for dim, size in zip(x.shape, shape, strict=True):
        ctx.b.require_equal(dim, size)
    return ctx.b.reshape(x, shape)


@op("ResourceGather", types={"dtype": ALL})
def resource_gather(ctx: OpContext) -> Value:
    batch = int(ctx.attr("batch_dims", 0))
    return ctx.b.gather(ctx.inputs[0], ctx.inputs[1], axis=batch, batch_dims=batch)
