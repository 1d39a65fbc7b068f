"""Rows of convolutions, pooling and batch normalization."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tests.ops.cases_matrix import fused_op
from tests.ops.harness import Arg, OpCase, Sizes, f32, positive

raw = tf.raw_ops
SPATIAL = (0, 1, 2, 3, 5, 8)


def small(kernel: int) -> Callable[[Sizes], bool]:
    """Images that a window of that size may not fit into: TensorFlow computes some of them to nothing."""
    return lambda sizes: min(sizes.get("h", kernel), sizes.get("w", kernel)) < kernel


def conv(
    op: Callable[..., Any] = raw.Conv2D, *, stride: int = 1, padding: str = "SAME", **attrs: Any
) -> Callable[..., Any]:
    """A convolution as a function of image and filter."""
    strides = attrs.pop("strides", [1, stride, stride, 1])
    return lambda x, w: op(input=x, filter=w, strides=strides, padding=padding, **attrs)


def _convolutions() -> Iterator[OpCase]:
    for padding in ("SAME", "VALID"):
        for kernel in [(1, 1), (3, 3), (2, 5)]:
            for stride in (1, 2, 3):
                name = f"Conv2D_{padding}_{kernel[0]}x{kernel[1]}_{stride}"
                yield OpCase(
                    name, conv(stride=stride, padding=padding), (f32(2, "h", 9, 3), f32(*kernel, 3, 4)), sizes=SPATIAL
                )
    yield OpCase("Conv2D_weight", conv(), (f32("n", 6, 7, 3), f32(3, 3, 3, 16, weight=True)))
    yield from _blocks()
    for padding in ("SAME", "VALID"):  # by Winograd's form
        image, weight = f32("n", "h", "w", 64), f32(3, 3, 64, 35, weight=True)
        yield OpCase(f"Conv2D_winograd_{padding}", conv(padding=padding), (image, weight), sizes=(0, 1, 2, 5, 8, 31))
    yield OpCase(
        "Conv2D_winograd_static", conv(), (f32("n", 9, 8, 70), f32(3, 3, 70, 64, weight=True)), sizes=(0, 1, 9)
    )
    yield OpCase("Conv2D_all_dynamic", conv(stride=2), (f32("n", "h", "w", 3), f32(3, 3, 3, 4)))
    yield OpCase("Conv2D_strides", conv(strides=[1, 2, 3, 1]), (f32("n", 7, 8, 2), f32(3, 2, 2, 4)))
    yield OpCase("Conv2D_1d", conv(padding="VALID"), (f32("n", 1, "w", 4), f32(1, 3, 4, 5)), sizes=(0, 1, 3, 6))
    for dilations in [(2, 2), (1, 3)]:
        for padding in ("SAME", "VALID"):
            for stride in (1, 2):
                name = f"Conv2D_dilated_{dilations[0]}_{dilations[1]}_{padding}_{stride}"
                yield OpCase(
                    name,
                    conv(stride=stride, padding=padding, dilations=[1, *dilations, 1]),
                    (f32(2, "h", 11, 3), f32(3, 3, 3, 4)),
                    sizes=(3, 5, 8),
                )
    explicit = [0, 0, 1, 2, 3, 0, 0, 0]
    for stride in (1, 2):
        yield OpCase(
            f"Conv2D_EXPLICIT_{stride}",
            conv(stride=stride, padding="EXPLICIT", explicit_paddings=explicit),
            (f32(2, "h", 9, 3), f32(3, 3, 3, 4)),
            sizes=SPATIAL,
        )
    yield OpCase("Conv2D_groups", conv(), (f32("n", 5, 5, 6), f32(3, 3, 2, 9)), sizes=(1, 3))
    yield OpCase(
        "Conv2D_groups_as_channels", conv(stride=2, padding="VALID"), (f32("n", 5, 5, 4), f32(3, 3, 1, 8)), sizes=(1, 3)
    )
    yield OpCase("Conv2D_unknown_channels", conv(), (f32(2, 5, 5, "c"), f32(3, 3, 3, 4)), sizes=(3, 4))
    yield OpCase(
        "Conv2D_unknown_kernel", conv(), (f32(2, 5, 5, 3), f32("k", 3, 3, 4)), refusal="filter of unknown size"
    )
    yield OpCase("Conv2D_nchw", conv(data_format="NCHW"), (f32(2, 3, 5, 5), f32(3, 3, 3, 4)), refusal="data_format")
    yield OpCase(
        "Conv2D_float64", conv(), (Arg(tf.float64, (2, 5, 5, 3)), Arg(tf.float64, (3, 3, 3, 4))), refusal="T=double"
    )


def _blocks() -> Iterator[OpCase]:
    """Dilated convolutions as TensorFlow writes them, with images moved to the batch and back."""

    def dilated(*dilations: int, padding: str) -> Callable[..., Any]:
        return lambda x, w: tf.nn.convolution(x, w, dilations=list(dilations), padding=padding)

    for block in (2, 3):
        fn = dilated(block, padding="SAME")
        yield OpCase(f"SpaceToBatchND_conv1d_{block}", fn, (f32("n", "w", 3), f32(4, 3, 5)), sizes=(0, 1, 3, 6, 17))
    images = f32("n", "h", "w", 3), f32(3, 2, 3, 4)
    yield OpCase("SpaceToBatchND_conv2d_SAME", dilated(2, 3, padding="SAME"), images, sizes=(1, 4, 7))
    yield OpCase("SpaceToBatchND_conv2d_VALID", dilated(2, 3, padding="VALID"), images, sizes=(5, 8, 9))


def _depthwise() -> Iterator[OpCase]:
    op = raw.DepthwiseConv2dNative
    for padding in ("SAME", "VALID"):
        for stride in (1, 2):
            for multiplier in (1, 3):
                name = f"DepthwiseConv2dNative_{padding}_{stride}_{multiplier}"
                yield OpCase(
                    name,
                    conv(op, stride=stride, padding=padding),
                    (f32(2, "h", 7, 4), f32(3, 3, 4, multiplier)),
                    sizes=SPATIAL,
                )
    yield OpCase(
        "DepthwiseConv2dNative_kernel5", conv(op, stride=2), (f32("n", 8, 9, 16), f32(5, 5, 16, 1, weight=True))
    )
    yield OpCase(
        "DepthwiseConv2dNative_EXPLICIT",
        conv(op, padding="EXPLICIT", explicit_paddings=[0, 0, 1, 1, 0, 2, 0, 0]),
        (f32(2, "h", 6, 3), f32(3, 3, 3, 1)),
        sizes=(1, 3, 6),
    )
    yield OpCase(
        "DepthwiseConv2dNative_dilated",
        conv(op, dilations=[1, 2, 2, 1]),
        (f32(2, 6, 6, 3), f32(3, 3, 3, 1)),
        refusal="dilated",
    )
    yield OpCase(
        "DepthwiseConv2dNative_strides",
        conv(op, strides=[1, 1, 2, 1]),
        (f32(2, 6, 6, 3), f32(3, 3, 3, 1)),
        refusal="different strides",
    )


def _deconv(stride: int, padding: str, extra: int) -> Callable[..., Any]:
    """The transposed convolution as Keras makes it: the size is computed from the input's."""

    def fn(dy: Any, w: Any) -> Any:
        shape = tf.shape(dy)
        sizes = [shape[0], shape[1] * stride + extra, shape[2] * stride + extra, w.shape[2]]
        return raw.Conv2DBackpropInput(
            input_sizes=tf.stack(sizes), filter=w, out_backprop=dy, strides=[1, stride, stride, 1], padding=padding
        )

    return fn


def _transposed() -> Iterator[OpCase]:
    for stride in (1, 2, 3):
        yield OpCase(
            f"Conv2DBackpropInput_SAME_{stride}", _deconv(stride, "SAME", 0), (f32("n", "h", 4, 5), f32(3, 3, 2, 5))
        )
        yield OpCase(
            f"Conv2DBackpropInput_VALID_{stride}",
            _deconv(stride, "VALID", max(3 - stride, 0)),
            (f32("n", "h", 4, 5), f32(3, 3, 2, 5)),
        )
    yield OpCase(
        "Conv2DBackpropInput_kernel2", _deconv(2, "SAME", 0), (f32("n", 4, 5, 6), f32(2, 2, 3, 6, weight=True))
    )
    yield OpCase("Conv2DBackpropInput_kernel4", _deconv(2, "SAME", 0), (f32("n", 4, 5, 6), f32(4, 4, 3, 6)))
    yield OpCase(
        "Conv2DBackpropInput_odd", _deconv(2, "SAME", -1), (f32("n", "h", 4, 5), f32(3, 3, 2, 5)), sizes=(1, 3, 6)
    )
    yield OpCase(
        "Conv2DBackpropInput_static",
        lambda dy, w: raw.Conv2DBackpropInput(
            input_sizes=[2, 7, 9, 3], filter=w, out_backprop=dy, strides=[1, 2, 2, 1], padding="VALID"
        ),
        (f32(2, 3, 4, 4), f32(3, 2, 3, 4)),
    )


def _pools() -> Iterator[OpCase]:
    ops = {
        "MaxPool": lambda x, **attrs: raw.MaxPool(input=x, **attrs),
        "AvgPool": lambda x, **attrs: raw.AvgPool(value=x, **attrs),
    }
    for name, op in ops.items():
        for padding in ("SAME", "VALID"):
            for window, stride in [((2, 2), 2), ((3, 3), 2), ((3, 2), 1), ((1, 1), 3), ((2, 2), 3)]:

                def fn(x: Any, op: Any = op, window: Any = window, stride: int = stride, padding: str = padding) -> Any:
                    return op(x, ksize=[1, *window, 1], strides=[1, stride, stride, 1], padding=padding)

                case = f"{name}_{padding}_{window[0]}x{window[1]}_{stride}"
                yield OpCase(case, fn, (f32(2, "h", 7, 3),), sizes=SPATIAL)
        yield OpCase(
            f"{name}_batch",
            lambda x, op=op: op(x, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="SAME"),
            (f32("n", 8, 8, "c"),),
            sizes=(1, 3, 20),
        )
        yield OpCase(
            f"{name}_over_channels",
            lambda x, op=op: op(x, ksize=[1, 1, 1, 2], strides=[1, 1, 1, 2], padding="VALID"),
            (f32(2, 3, 3, 4),),
            refusal="over batch or channels",
        )
    yield OpCase(
        "MaxPool_EXPLICIT",
        lambda x: raw.MaxPool(
            input=x,
            ksize=[1, 3, 3, 1],
            strides=[1, 2, 2, 1],
            padding="EXPLICIT",
            explicit_paddings=[0, 0, 1, 0, 2, 1, 0, 0],
        ),
        (f32(2, "h", 7, 3),),
        sizes=SPATIAL,
    )


def _norm(op: Callable[..., Any], count: int, **attrs: Any) -> Callable[..., Any]:
    def fn(x: Any, scale: Any, offset: Any, mean: Any, variance: Any) -> Any:
        result = op(x=x, scale=scale, offset=offset, mean=mean, variance=variance, **{"is_training": False, **attrs})
        return list(result)[:count]

    return fn


def _norms() -> Iterator[OpCase]:
    vectors = (f32(5, weight=True), f32(5, weight=True), f32(5, weight=True), f32(5, make=positive, weight=True))
    for name in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        op = getattr(raw, name)
        yield OpCase(name, _norm(op, 1), (f32("n", 3, "w", 5), *vectors))
        yield OpCase(f"{name}_statistics", _norm(op, 3), (f32("n", 3, 2, 5), *vectors), sizes=(1, 3))
        yield OpCase(f"{name}_epsilon", _norm(op, 1, epsilon=0.3), (f32("n", 1, 2, 5), *vectors))
        yield OpCase(
            f"{name}_training", _norm(op, 1, is_training=True), (f32(2, 3, 2, 5), *vectors), refusal="training"
        )
    yield OpCase(
        "FusedBatchNormV3_half",
        _norm(raw.FusedBatchNormV3, 1),
        (Arg(tf.float16, (2, 3, 2, 5)), *vectors),
        refusal="T=half",
    )


FUSED = (
    ("BiasAdd",),
    *(("BiasAdd", name) for name in ("Relu", "Relu6", "Elu", "LeakyRelu", "Add")),
    ("BiasAdd", "Add", "Relu"),
    ("FusedBatchNorm",),
    ("FusedBatchNorm", "Relu"),
)


def fused_conv(x: Any, w: Any, *args: Any, ops: tuple[str, ...], **attrs: Any) -> Any:
    """_FusedConv2D with the given fused ops."""
    values = {
        "T": tf.float32,
        "TArgs": [tf.float32] * len(args),
        "num_args": len(args),
        "num_host_args": 0,
        "fused_ops": list(ops),
        "strides": [1, 1, 1, 1],
        "padding": "SAME",
        "explicit_paddings": [],
        "data_format": "NHWC",
        "filter_format": "HWIO",
        "dilations": [1, 1, 1, 1],
        "use_cudnn_on_gpu": True,
        "epsilon": 0.001,
        "leakyrelu_alpha": 0.2,
        **attrs,
    }
    return fused_op("_FusedConv2D", values)(x, w, *args)


def _fused() -> Iterator[OpCase]:
    for ops in FUSED:
        extra = (f32("n", 5, 6, 4),) if "Add" in ops else ()
        args = (f32(4), f32(4), f32(4), f32(4, make=positive)) if "FusedBatchNorm" in ops else (f32(4),)
        yield OpCase(
            f"_FusedConv2D_{'_'.join(ops)}",
            lambda *v, ops=ops: fused_conv(*v, ops=ops),
            (f32("n", 5, 6, 3), f32(3, 3, 3, 4), *args, *extra),
            traced=True,
        )
    yield OpCase(
        "_FusedConv2D_strided",
        lambda *v: fused_conv(*v, ops=("BiasAdd", "Relu"), strides=[1, 2, 2, 1], padding="VALID"),
        (f32("n", 5, 6, 3), f32(3, 3, 3, 4), f32(4)),
        traced=True,
    )


CASES = tuple(
    dataclasses.replace(case, declared_empty=True, may_guard=None if "SAME" in case.name else small(5))
    for case in (*_convolutions(), *_depthwise(), *_transposed(), *_pools(), *_norms(), *_fused())
)
