"""Convolutions and pooling of NHWC images, float32."""

from __future__ import annotations

from collections.abc import Mapping

from tf_blade.backends.disc.codegen.call import Call
from tf_blade.backends.disc.codegen.library import LibraryContext, emitter
from tf_blade.backends.disc.ir.values import Op
from tf_blade.dtypes import DType
from tf_blade.errors import BuildFailure
from tf_blade.symbolic import is_static

SLIM_CHANNELS = 8  # at most, of images for conv2d_slim
WINOGRAD_CHANNELS = range(64, 513)  # of images for conv2d_winograd: fewer lose more in its transforms than they save
WINOGRAD_FILTERS = 32  # at least
WINOGRAD_PIXELS = 64  # of an image, at least: a smaller one waits for its weights, which are 16/9 of the direct form's


@emitter("conv2d")
def conv2d(context: LibraryContext) -> Call:
    """depthwise.h where every channel has its own filters, else conv_winograd.h or conv.h; init packs weights."""
    op = context.op
    x, w = op.operands
    _check_type(op)
    kernel_h, kernel_w, group_in_c, out_c = w.shape
    fields = _geometry(context) | _image(context, "in", "c", x.shape) | _image(context, "out", "c", op.result.shape)
    if op.attrs["groups"] == x.shape[3] and group_in_c == 1:
        fields["weights_packed"] = context.pointer(w)
        return _finish(context, "ConvArgs", fields, "depthwise_conv2d")
    fields["groups"] = str(op.attrs["groups"])
    if _suits_winograd(context):
        sizes = f"{context.dim(group_in_c)}, {context.dim(out_c)}"
        return _packed(
            context,
            fields,
            "conv2d_winograd",
            size=f"packed_winograd_bytes({sizes})",
            fill=f"pack_winograd_weights(ral, $src, {sizes}, reinterpret_cast<float*>($dst));",
        )
    sizes = ", ".join(context.dim(item) for item in (kernel_h, kernel_w, group_in_c, out_c, op.attrs["groups"]))
    return _packed(
        context,
        fields,
        _function(op),
        size=f"packed_conv_bytes({sizes})",
        fill=f"pack_conv_weights(ral, $src, {sizes}, reinterpret_cast<float*>($dst));",
    )


def _function(op: Op) -> str:
    """conv2d, or conv2d_slim where a pixel is a few floats: then rows of the kernel are read, not pixels."""
    x, w = op.operands
    channels = x.shape[3]
    few = isinstance(channels, int) and channels <= SLIM_CHANNELS and w.shape[:2] != (1, 1)
    if not few or op.attrs["groups"] != 1 or op.attrs["dilations"][1] != 1:
        return "conv2d"
    return f"conv2d_slim<{channels * op.attrs['strides'][1]}>"


def _suits_winograd(context: LibraryContext) -> bool:
    """Whether the kernel is 3x3 of stride 1, and channels and pixels are so many that Winograd's form is faster."""
    op = context.op
    w, (_, height, width, _) = op.operands[1], op.result.shape
    if not (context.is_weight(w) and is_static(w.shape)) or w.shape[:2] != (3, 3) or op.attrs["groups"] != 1:
        return False
    if tuple(op.attrs["strides"]) != (1, 1) or tuple(op.attrs["dilations"]) != (1, 1):
        return False
    if isinstance(height, int) and isinstance(width, int) and height * width < WINOGRAD_PIXELS:
        return False
    return w.shape[2] in WINOGRAD_CHANNELS and w.shape[3] >= WINOGRAD_FILTERS


@emitter("conv2d_transpose")
def conv2d_transpose(context: LibraryContext) -> Call:
    """conv_transpose.h; here the operand is the smaller image."""
    op = context.op
    dy, w = op.operands
    _check_type(op)
    geometry = _geometry(context)
    fields = geometry | _image(context, "in", "c", dy.shape) | _image(context, "out", "c", op.result.shape)
    sizes = ", ".join(context.dim(item) for item in (w.shape[0], w.shape[1], dy.shape[3], w.shape[2]))
    packing = geometry | {"in_c": context.dim(w.shape[3]), "out_c": context.dim(w.shape[2])}
    setters = " ".join(f"packing.{key} = {value};" for key, value in packing.items())
    return _packed(
        context,
        fields,
        "conv2d_transpose",
        size=f"packed_conv_transpose_bytes({sizes})",
        fill=(
            f"{{ ConvArgs packing; {setters} "
            "pack_conv_transpose_weights(packing, $src, reinterpret_cast<float*>($dst)); }"
        ),
    )


@emitter("pool2d")
def pool2d(context: LibraryContext) -> Call:
    """pool.h."""
    op = context.op
    (x,) = op.operands
    _check_type(op)
    fields = _image(context, "in", "", x.shape) | _image(context, "out", "", op.result.shape)
    fields |= {"channels": context.dim(x.shape[3])}
    fields |= {"window_h": str(op.attrs["window"][0]), "window_w": str(op.attrs["window"][1])} | _steps(context)
    kind = "MaxPool" if op.attrs["kind"] == "max" else "AvgPool"
    fields |= {"input": context.pointer(x), "output": context.pointer(context.output)}
    fields |= {"zero_pads": "true"} if op.attrs.get("zero_pads") else {}
    setters = [f"args.{key} = {value};" for key, value in fields.items()]
    epilogue = context.epilogue("NoEpilogue{}")
    return context.call("PoolArgs args;", *setters, f"code = pool2d<{kind}>(ral, args, {epilogue});")


def _check_type(op: Op) -> None:
    if op.result.dtype != DType.FLOAT:
        raise BuildFailure(f"no kernel for {op.kind} of {op.result.dtype.name.lower()}", "disc")


def _steps(context: LibraryContext) -> dict[str, str]:
    op = context.op
    return {
        "stride_h": str(op.attrs["strides"][0]),
        "stride_w": str(op.attrs["strides"][1]),
        "pad_top": context.dim(op.attrs["low"][0]),
        "pad_left": context.dim(op.attrs["low"][1]),
    }


def _geometry(context: LibraryContext) -> dict[str, str]:
    op = context.op
    w = op.operands[1]
    return _steps(context) | {
        "kernel_h": context.dim(w.shape[0]),
        "kernel_w": context.dim(w.shape[1]),
        "dilation_h": str(op.attrs["dilations"][0]),
        "dilation_w": str(op.attrs["dilations"][1]),
    }


def _image(context: LibraryContext, prefix: str, channels: str, shape: tuple[object, ...]) -> dict[str, str]:
    """The extents of an NHWC image as fields `in_h` and so on."""
    batch, height, width, depth = (context.dim(item) for item in shape)
    fields = {"batch": batch, f"{prefix}_h": height, f"{prefix}_w": width}
    return fields | ({f"{prefix}_{channels}": depth} if channels else {})


def _finish(context: LibraryContext, kind: str, fields: Mapping[str, str], function: str) -> Call:
    return context.call(*_run(context, kind, fields, function))


def _run(context: LibraryContext, kind: str, fields: Mapping[str, str], function: str) -> list[str]:
    x = context.op.operands[0]
    pointers = {"input": context.pointer(x), "output": context.pointer(context.output)}
    setters = [f"args.{key} = {value};" for key, value in {**fields, **pointers}.items()]
    return [f"{kind} args;", *setters, f"code = {function}(ral, args, {context.epilogue('NoEpilogue{}')});"]


def _packed(context: LibraryContext, fields: dict[str, str], function: str, *, size: str, fill: str) -> Call:
    """A convolution whose weights are packed by init where they are weights, and before each call where not."""
    w = context.op.operands[1]
    if context.is_weight(w) and is_static(w.shape) and "d." not in fill:
        fields["weights_packed"] = context.packed(f"{function}:{fill}", w, size, fill)
        return _finish(context, "ConvArgs", fields, function)
    fields["weights_packed"] = "packed_weights"
    call = _run(context, "ConvArgs", fields, function)
    pack = fill.replace("$src", context.pointer(w)).replace("$dst", "packed_weights")
    return context.call(
        "Scratch packing(ral);",
        f"float* packed_weights = static_cast<float*>(packing.allocate({size} + 64));",
        "if (packed_weights == nullptr) return BLADE_NO_MEMORY;",
        pack,
        *call,
    )
