"""Rows of convolutions, pools, norms, resizes and quantization that the shared op tables lack or refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tests.ops.cases_convolution import conv, small
from tests.ops.harness import Arg, OpCase, f32, positive, uniform

raw = tf.raw_ops
wide = uniform(-8, 8)


def channels_first(op: Callable[..., Any], attrs: dict[str, Any], rank: int = 4) -> Callable[..., Any]:
    """An op of images with channels first. TensorFlow has them last on a CPU: it computes the same with transposes."""
    listed = ("strides", "ksize", "dilations")
    turned = {k: [v[0], *v[2:], v[1]] if k in listed else v for k, v in attrs.items()}
    if "explicit_paddings" in attrs:
        pads = attrs["explicit_paddings"]
        turned["explicit_paddings"] = [*pads[:2], *pads[4:], *pads[2:4]]
    first, last = ("NCHW", "NHWC") if rank == 4 else ("NCDHW", "NDHWC")

    def fn(x: Any, *rest: Any) -> Any:
        if not tf.executing_eagerly():
            return op(x, *rest, data_format=first, **attrs)
        result = op(tf.transpose(x, [0, *range(2, rank), 1]), *rest, data_format=last, **turned)
        return tf.transpose(result, [0, rank - 1, *range(1, rank - 1)])

    return fn


def _conv2d(x: Any, w: Any, **attrs: Any) -> Any:
    return raw.Conv2D(input=x, filter=w, **attrs)


def _depthwise(x: Any, w: Any, **attrs: Any) -> Any:
    return raw.DepthwiseConv2dNative(input=x, filter=w, **attrs)


def _convolutions() -> Iterator[OpCase]:
    image = f32("n", 3, "h", 6)
    for padding, stride in (("SAME", 2), ("VALID", 1)):
        attrs: dict[str, Any] = {"strides": [1, 1, stride, stride], "padding": padding}
        yield OpCase(
            f"Conv2D_first_{padding}",
            channels_first(_conv2d, attrs),
            (image, f32(3, 2, 3, 4, weight=True)),
            sizes=(3, 6),
        )
    explicit: dict[str, Any] = {
        "strides": [1, 1, 2, 1],
        "padding": "EXPLICIT",
        "explicit_paddings": [0, 0, 0, 0, 1, 2, 3, 0],
    }
    yield OpCase("Conv2D_first_EXPLICIT", channels_first(_conv2d, explicit), (image, f32(3, 3, 3, 4)), sizes=(3, 6))
    attrs = {"strides": [1, 1, 2, 2], "padding": "SAME"}
    yield OpCase(
        "DepthwiseConv2dNative_first", channels_first(_depthwise, attrs), (image, f32(3, 3, 3, 2, weight=True))
    )
    yield OpCase(
        "Conv2D_gaps", conv(stride=3), (f32("n", "h", 7, 3), f32(2, 2, 3, 4)), sizes=(1, 2, 3, 7), may_guard=small(1)
    )
    yield OpCase(
        "Conv2D_padded_between",
        _padded_between,
        (f32("n", "h", 6, 3), f32(3, 3, 3, 4, weight=True), f32(3, 3, 4, 2, weight=True)),
        sizes=(2, 5),
    )


def _padded_between(x: Any, a: Any, b: Any) -> Any:
    inner = tf.nn.relu(tf.nn.conv2d(x, a, 1, "SAME"))
    return tf.nn.conv2d(tf.pad(inner, [[0, 0], [1, 2], [0, 1], [0, 0]]), b, 2, "VALID")


def _transposed() -> Iterator[OpCase]:
    """Sizes that leave a part of the result to no window, or that windows reach beyond."""

    def fn(dy: Any, w: Any, *, stride: int, extra: int, **attrs: Any) -> Any:
        shape = tf.shape(dy)
        sizes = tf.stack([shape[0], shape[1] * stride + extra, shape[2] * stride + extra, w.shape[2]])
        strides = [1, stride, stride, 1]
        return raw.Conv2DBackpropInput(input_sizes=sizes, filter=w, out_backprop=dy, strides=strides, **attrs)

    images = f32("n", "h", 4, 5), f32(2, 2, 3, 5)
    for stride, extra, padding in ((3, 0, "SAME"), (3, 1, "VALID"), (2, -1, "SAME")):
        yield OpCase(
            f"Conv2DBackpropInput_{padding}_{stride}_{extra}",
            lambda dy, w, stride=stride, extra=extra, padding=padding: fn(
                dy, w, stride=stride, extra=extra, padding=padding
            ),
            images,
            sizes=(1, 3),
        )
    explicit = [0, 0, 1, 0, 0, 1, 0, 0]
    yield OpCase(
        "Conv2DBackpropInput_EXPLICIT",
        lambda dy, w: fn(dy, w, stride=2, extra=-1, padding="EXPLICIT", explicit_paddings=explicit),
        images,
        sizes=(1, 3),
    )


def _transposed_groups() -> Iterator[OpCase]:
    """By filters with gaps, of groups of channels, and of each channel by itself."""

    def fn(op: Callable[..., Any], dy: Any, w: Any, channels: int, reach: int, **attrs: Any) -> Any:
        shape = tf.shape(dy)
        sizes = tf.stack([shape[0], shape[1] + reach - 1, shape[2] + reach - 1, channels])
        return op(input_sizes=sizes, filter=w, out_backprop=dy, strides=[1, 1, 1, 1], padding="VALID", **attrs)

    plain, depthwise = raw.Conv2DBackpropInput, raw.DepthwiseConv2dNativeBackpropInput
    for label, op, channels, outputs, filters, reach, attrs in (
        ("dilated", plain, 2, 5, (3, 3, 2, 5), 5, {"dilations": [1, 2, 2, 1]}),
        ("groups", plain, 6, 4, (2, 2, 3, 4), 2, {}),
        ("plain", depthwise, 3, 3, (2, 2, 3, 1), 2, {}),
        ("several", depthwise, 3, 6, (2, 2, 3, 2), 2, {}),
    ):
        name = "Conv2DBackpropInput" if op is plain else "DepthwiseConv2dNativeBackpropInput"
        yield OpCase(
            f"{name}_{label}",
            lambda dy, w, op=op, channels=channels, reach=reach, attrs=attrs: fn(op, dy, w, channels, reach, **attrs),
            (f32("n", "h", 4, outputs), f32(*filters)),
            sizes=(1, 3),
        )


def _pools() -> Iterator[OpCase]:
    yield OpCase(
        "MaxPoolV2",
        lambda x: raw.MaxPoolV2(input=x, ksize=[1, 3, 2, 1], strides=[1, 2, 1, 1], padding="SAME"),
        (f32(2, "h", 7, 3),),
        sizes=(1, 4),
    )
    attrs = {"ksize": [1, 1, 3, 2], "strides": [1, 1, 2, 1], "padding": "SAME"}
    yield OpCase(
        "AvgPool_first",
        channels_first(lambda x, **rest: raw.AvgPool(value=x, **rest), attrs),
        (f32("n", 3, "h", 7),),
        sizes=(1, 4),
    )
    explicit = {**attrs, "padding": "EXPLICIT", "explicit_paddings": [0, 0, 0, 0, 1, 2, 1, 0]}
    yield OpCase(
        "MaxPool_first_EXPLICIT",
        channels_first(lambda x, **rest: raw.MaxPool(input=x, **rest), explicit),
        (f32("n", 3, "h", 7),),
        sizes=(1, 4),
    )


def _norms() -> Iterator[OpCase]:
    vectors = (f32(5), f32(5), f32(5), f32(5, make=positive))

    def fn(x: Any, *parts: Any, **attrs: Any) -> Any:
        names = ("scale", "offset", "mean", "variance")
        return raw.FusedBatchNormV3(x=x, **dict(zip(names, parts, strict=True)), is_training=False, **attrs)[0]

    yield OpCase("FusedBatchNormV3_first", channels_first(fn, {}), (f32("n", 5, 3, "w"), *vectors), sizes=(1, 3))
    yield OpCase(
        "FusedBatchNormV3_after_convolution",
        lambda x, w, *parts: tf.nn.relu(fn(tf.nn.conv2d(x, w, 1, "SAME"), *parts)),
        (f32("n", 3, "w", 2), f32(3, 3, 2, 5, weight=True), *vectors),
        sizes=(1, 3),
    )
    for beta in (0.5, 0.75, 1.0):
        yield OpCase(
            f"LRN_{beta}",
            lambda x, beta=beta: raw.LRN(input=x, depth_radius=2, bias=1.5, alpha=0.3, beta=beta),
            (f32("n", 2, "w", 7),),
            sizes=(1, 3),
        )


def _resizes() -> Iterator[OpCase]:
    for label, size, modes in (
        ("picked", [5, 3], {}),
        ("picked_centers", [14, 3], {"half_pixel_centers": True}),
        ("picked_corners", [5, 9], {"align_corners": True}),
        ("picked_corner", [1, 5], {"align_corners": True}),
    ):
        yield OpCase(
            f"ResizeNearestNeighbor_{label}",
            lambda x, size=size, modes=modes: raw.ResizeNearestNeighbor(images=x, size=size, **modes),
            (Arg(tf.int32, ("n", 7, 5, 2)),),
        )
    yield from _unknown_neighbours()
    yield OpCase(
        "ResizeBilinear_int32", lambda x: raw.ResizeBilinear(images=x, size=[5, 9]), (Arg(tf.int32, ("n", 7, 5, 2)),)
    )
    for name, shape in (("SpaceToDepth", ("n", 3, 4, 6)), ("DepthToSpace", ("n", 8, 3, 2))):
        fn = getattr(raw, name)
        yield OpCase(
            f"{name}_first",
            channels_first(lambda x, fn=fn, **attrs: fn(input=x, block_size=2, **attrs), {}),
            (f32(*shape),),
        )


def _unknown_neighbours() -> Iterator[OpCase]:
    """Between sizes that no whole factor relates; at some of them TensorFlow's float32 picks another pixel."""

    def fn(x: Any, new: Callable[[Any], Any], modes: dict[str, bool]) -> Any:
        return raw.ResizeNearestNeighbor(images=x, size=tf.stack([new(tf.shape(x)[1]), 3]), **modes)

    for label, new, modes, sizes in (
        ("floor", lambda h: (7 * h) // 2, {}, (3, 6)),
        ("centers", lambda h: 2 * h - 1, {"half_pixel_centers": True}, (50, 92)),
        ("corners", lambda h: h + 1, {"align_corners": True}, (1, 7)),
        ("fixed", lambda h: h - h + 29, {"half_pixel_centers": True}, (30, 7)),
    ):
        yield OpCase(
            f"ResizeNearestNeighbor_unknown_{label}",
            lambda x, new=new, modes=modes: fn(x, new, modes),
            (f32(2, "h", 3, 1),),
            sizes=tuple(sorted(sizes)),
        )


def _quantization() -> Iterator[OpCase]:
    ranges = ((-6.0, 6.0, 8, False), (-127.0, 127.0, 8, True), (-128.0, 127.0, 8, False), (0.5, 3.0, 4, False))
    for low, high, bits, narrow in ranges:
        yield OpCase(
            f"FakeQuantWithMinMaxArgs_{low}_{high}_{bits}",
            lambda x, low=low, high=high, bits=bits, narrow=narrow: raw.FakeQuantWithMinMaxArgs(
                inputs=x, min=low / 20, max=high / 20, num_bits=bits, narrow_range=narrow
            ),
            (f32("n", 50, make=wide),),
        )
    ends = f32(make=uniform(-5, 0)), f32(make=uniform(0.1, 5))
    yield OpCase(
        "FakeQuantWithMinMaxVars",
        lambda x, a, b: raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b),
        (f32("n", 50, make=wide), *ends),
    )
    yield OpCase(
        "FakeQuantWithMinMaxVars_empty",
        lambda x, a: raw.FakeQuantWithMinMaxVars(inputs=x, min=a - a, max=a - a),
        (f32("n", 5), f32()),
    )
    for narrow, lows in ((True, [-1.0, -2.0, -4.0]), (False, [-0.5, -1.0, 0.0])):
        yield OpCase(
            f"FakeQuantWithMinMaxVarsPerChannel_{narrow}",
            lambda x, narrow=narrow, lows=lows: raw.FakeQuantWithMinMaxVarsPerChannel(
                inputs=x, min=tf.constant(lows), max=tf.constant([1.0, 2.0, 4.0]), narrow_range=narrow
            ),
            (f32("n", 40, 3, make=wide),),
        )
    yield from _round_trips()


def _round_trips() -> Iterator[OpCase]:
    def fn(name: str, x: Any, low: Any, high: Any, **flags: Any) -> Any:
        bits = {"num_bits": 8, **flags}
        return getattr(raw, name)(input=x, input_min=low, input_max=high, range_given=True, **bits)

    for name in ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4"):
        for narrow, signed, bits in ((False, True, 8), (True, True, 8), (False, False, 8), (True, True, 5)):
            flags = {"narrow_range": narrow, "signed_input": signed, "num_bits": bits}
            yield OpCase(
                f"{name}_{narrow}_{signed}_{bits}",
                lambda x, name=name, flags=flags: fn(name, x, -1.5, 2.5, **flags),
                (f32("n", 40, make=uniform(-4, 4)),),
            )
    yield OpCase(
        "QuantizeAndDequantizeV2_HALF_UP",
        lambda x: fn("QuantizeAndDequantizeV2", x, -1.5, 2.5, round_mode="HALF_UP"),
        (f32("n", 40, make=wide),),
    )


CASES: tuple[OpCase, ...] = (
    *_convolutions(),
    *_transposed(),
    *_transposed_groups(),
    *_pools(),
    *_norms(),
    *_resizes(),
    *_quantization(),
)
