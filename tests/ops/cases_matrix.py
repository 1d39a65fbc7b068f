"""Rows of matrix products."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tests.ops.harness import Arg, OpCase, cycle, f32, integers

raw = tf.raw_ops
SMALL = integers(-3, 4)
INTEGERS = (tf.int32, tf.int64)


def _matmuls() -> Iterator[OpCase]:
    for a in (False, True):
        for b in (False, True):
            shapes = (("k", "n") if a else ("n", "k"), (5, "k") if b else ("k", 5))
            name = f"{'t' if a else 'n'}{'t' if b else 'n'}"

            def fn(x: Any, y: Any, a: bool = a, b: bool = b) -> Any:
                return raw.MatMul(a=x, b=y, transpose_a=a, transpose_b=b)

            yield OpCase(f"MatMul_{name}", fn, (f32(*shapes[0]), f32(*shapes[1])))
            for t in INTEGERS:
                yield OpCase(f"MatMul_{name}_{t.name}", fn, (Arg(t, shapes[0], SMALL), Arg(t, shapes[1], SMALL)))
    yield OpCase("MatMul_static", lambda x, y: raw.MatMul(a=x, b=y), (f32(7, 33), f32(33, 65)))
    yield OpCase("MatMul_weight", lambda x, y: raw.MatMul(a=x, b=y), (f32("n", 40), f32(40, 24, weight=True)))
    yield OpCase("MatMul_unify", lambda x, y: raw.MatMul(a=x, b=y), (f32("n", "k"), f32("m", 3)))
    yield OpCase("MatMul_vector", lambda x, y: raw.MatMul(a=x, b=y), (f32(1, "k"), f32("k", 1)))
    yield OpCase(
        "MatMul_special",
        lambda x, y: raw.MatMul(a=x, b=y),
        (f32(2, 3, make=cycle(math.nan, 1, 2, math.inf, 1, 1)), f32(3, 2, make=cycle(1, 2, 1))),
    )
    yield OpCase(
        "MatMul_float64",
        lambda x, y: raw.MatMul(a=x, b=y),
        (Arg(tf.float64, (2, 3)), Arg(tf.float64, (3, 2))),
        refusal="T=double",
    )


def _batch(op: Callable[..., Any], **attrs: Any) -> Callable[..., Any]:
    return lambda x, y: op(x=x, y=y, **attrs)


def _batch_matmuls() -> Iterator[OpCase]:
    ops = {
        "BatchMatMul": _batch(raw.BatchMatMul),
        "BatchMatMulV2": _batch(raw.BatchMatMulV2),
        "BatchMatMulV3": _batch(raw.BatchMatMulV3, Tout=tf.float32),
    }
    for name, fn in ops.items():
        yield OpCase(name, fn, (f32("n", 2, "m", 4), f32("n", 2, 4, 3)))
        yield OpCase(
            f"{name}_unify",
            fn,
            (f32("n", 3, 4), f32("m", 4, 3)),
            may_guard=lambda sizes: 1 in sizes.values() and sizes["n"] != sizes["m"],
        )
    for x, y in [(True, False), (False, True), (True, True)]:
        for name in ops:
            attrs = {"adj_x": x, "adj_y": y, **({"Tout": tf.float32} if name == "BatchMatMulV3" else {})}
            yield OpCase(
                f"{name}_{x}_{y}",
                _batch(getattr(raw, name), **attrs),
                (f32("n", 4, "m") if x else f32("n", "m", 4), f32("n", 3, 4) if y else f32("n", 4, 3)),
            )
    for t in INTEGERS:
        yield OpCase(
            f"BatchMatMulV2_{t.name}", ops["BatchMatMulV2"], (Arg(t, ("n", 3, 4), SMALL), Arg(t, ("n", 4, 2), SMALL))
        )
    broadcasts = {
        "b_matrix": (f32("n", 2, 3, 4), f32(4, 5)),
        "b_ones": (f32("n", 2, 3, 4), f32(1, 1, 4, 5)),
        "a_matrix": (f32(3, 4), f32("n", 4, 5)),
        "a_ones": (f32(1, 3, 4), f32("n", 4, 5)),
        "b_longer": (f32("m", 3, 4), f32("n", 1, 4, 5)),
        "b_ones_longer": (f32(3, 4), f32(1, 1, 4, "n")),
        "fixed": (f32("n", 3, 4), f32(6, 4, 5)),
        "vector": (f32("n", 1, 4), f32("n", 4, 1)),
    }
    for name, inputs in broadcasts.items():
        yield OpCase(f"BatchMatMulV2_broadcast_{name}", ops["BatchMatMulV2"], inputs)
    # TensorFlow 2.21 reads beyond its operands when both batches have ones and one of them is all ones: no size 1 here.
    both = (f32("n", 1, 3, 4), f32(1, "m", 4, 5))
    yield OpCase("BatchMatMulV2_broadcast_both", ops["BatchMatMulV2"], both, sizes=(0, 2, 3))
    yield OpCase(
        "BatchMatMulV2_transposed_matrix",
        _batch(raw.BatchMatMulV2, adj_x=True, adj_y=True),
        (f32("n", 4, 3), f32(5, 4)),
    )


# Equations, with the shapes of their operands.
EQUATIONS: dict[str, tuple[tuple[int | str, ...], ...]] = {
    "ij->ji": (("n", 3),),
    "ij->": (("n", 3),),
    "ijk->ik": (("n", 3, "m"),),
    "ijk->kji": (("n", 3, "m"),),
    "...ij->...ji": (("n", 2, 3, 4),),
    "i...j->j...": (("n", 2, 3, 4),),
    "->": ((),),
    "ij,jk->ik": (("n", 4), (4, "m")),
    "ij,kj->ik": (("n", 4), ("m", 4)),
    "ji,jk->ik": ((4, "n"), (4, "m")),
    "ij,jk->ki": (("n", 4), (4, "m")),
    "i,i->": (("n",), ("n",)),
    "i,j->ij": (("n",), ("m",)),
    "i,j->ji": (("n",), ("m",)),
    "ij,i->i": (("n", 4), ("n",)),
    "ij,j->i": (("n", 4), (4,)),
    "i,ij->j": ((3,), (3, "n")),
    "ij,ij->ij": (("n", 4), ("n", 4)),
    "ij,ij->": (("n", 4), ("n", 4)),
    "ij,jk->i": (("n", 4), (4, 3)),
    "i,->i": (("n",), ()),
    ",->": ((), ()),
    "abc,cd->abd": (("n", "m", 4), (4, 5)),
    "abc,cde->abde": (("n", "m", 4), (4, 2, 3)),
    "abcd,cde->abe": (("n", "m", 2, 3), (2, 3, 5)),
    "abcd,dce->abe": (("n", "m", 2, 3), (3, 2, 5)),
    "aecd,abcd->acbe": (("n", "m", 2, 4), ("n", 3, 2, 4)),
    "acbe,aecd->abcd": (("n", 2, 3, "m"), ("n", "m", 2, 4)),
    "bqhd,bkhd->bhqk": ((2, "n", 2, 4), (2, "m", 2, 4)),
    "bhqk,bkhd->bqhd": ((2, 2, "n", "m"), (2, "m", 2, 4)),
    "dh,btd->bth": ((4, 5), ("n", "m", 4)),
    "bnij,bnjk->bnik": (("n", 2, 3, 4), ("n", 2, 4, 5)),
    "bij,bjk->kib": (("n", 3, 4), ("n", 4, 5)),
    "abij,bajk->abik": (("n", 2, 3, 4), (2, "n", 4, 5)),
    "...ij,...jk->...ik": (("n", 2, 3, 4), ("n", 2, 4, 5)),
    "...ij,jk->...ik": (("n", 2, 3, 4), (4, 5)),
    "...x,xy->...y": (("n", "m", 4), (4, 3)),
    "...ij,...jk->ik...": (("n", 3, 4), ("n", 4, 5)),
    "i...,...j->...ij": ((3, "n"), ("n", 4)),
    "a...,b...->ab...": ((3, 2, "n"), (4, 1, "n")),
    "...i,...i->...": (("n", 4), (3, "n", 4)),
}


_SPELLING: dict[str, str | int | None] = {",": "_", ".": "x", ">": "", "-": "_to_"}


def _einsums() -> Iterator[OpCase]:
    for equation, shapes in EQUATIONS.items():

        def fn(*inputs: Any, equation: str = equation) -> Any:
            return raw.Einsum(inputs=list(inputs), equation=equation)

        name = equation.translate(str.maketrans(_SPELLING))
        yield OpCase(f"Einsum_{name}", fn, tuple(f32(*shape) for shape in shapes))
        if equation in ("ij,jk->ik", "ijk->ik", "...ij,...jk->...ik"):
            for t in INTEGERS:
                yield OpCase(f"Einsum_{name}_{t.name}", fn, tuple(Arg(t, shape, SMALL) for shape in shapes))
    yield OpCase(
        "Einsum_broadcast",
        lambda x, y: raw.Einsum(inputs=[x, y], equation="...ij,...jk->...ik"),
        (f32("n", 1, 3, 4), f32(1, "m", 4, 5)),
        sizes=(0, 2, 3),
    )
    yield OpCase(
        "Einsum_unify", lambda x, y: raw.Einsum(inputs=[x, y], equation="ij,jk->ik"), (f32("n", "k"), f32("m", 3))
    )
    yield OpCase(
        "Einsum_diagonal", lambda x: raw.Einsum(inputs=[x], equation="ii->i"), (f32(3, 3),), refusal="repeated label"
    )
    yield OpCase(
        "Einsum_repeated_result",
        lambda x: raw.Einsum(inputs=[x], equation="i->ii"),
        (f32(3),),
        refusal="repeated label",
    )


def fused_op(op: str, attrs: dict[str, Any]) -> Callable[..., Any]:
    """A private op, which only a graph can hold."""

    def fn(*inputs: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        return graph.create_op(
            op, list(inputs), [tf.float32], name="fused", attrs={k: attr_value(v) for k, v in attrs.items()}
        ).outputs[0]

    return fn


def attr_value(value: Any) -> Any:
    """The AttrValue of a Python value."""
    from tensorflow.core.framework import attr_value_pb2

    if isinstance(value, bool):
        return attr_value_pb2.AttrValue(b=value)
    if isinstance(value, int):
        return attr_value_pb2.AttrValue(i=value)
    if isinstance(value, float):
        return attr_value_pb2.AttrValue(f=value)
    if isinstance(value, str):
        return attr_value_pb2.AttrValue(s=value.encode())
    if isinstance(value, tf.DType):
        return attr_value_pb2.AttrValue(type=value.as_datatype_enum)
    items = attr_value_pb2.AttrValue.ListValue()
    for item in value:
        if isinstance(item, str):
            items.s.append(item.encode())
        elif isinstance(item, tf.DType):
            items.type.append(item.as_datatype_enum)
        else:
            items.i.append(item)
    return attr_value_pb2.AttrValue(list=items)


FUSED = (
    ("BiasAdd",),
    *(
        ("BiasAdd", name)
        for name in ("Relu", "Relu6", "Elu", "LeakyRelu", "Tanh", "Sigmoid", "GeluExact", "GeluApproximate", "Add")
    ),
)


def fused_matmul(x: Any, w: Any, *args: Any, ops: tuple[str, ...], **attrs: Any) -> Any:
    """_FusedMatMul with the given fused ops."""
    values = {
        "T": tf.float32,
        "num_args": len(args),
        "fused_ops": list(ops),
        "transpose_a": False,
        "transpose_b": False,
        "epsilon": 0.0001,
        "leakyrelu_alpha": 0.2,
        **attrs,
    }
    return fused_op("_FusedMatMul", values)(x, w, *args)


def _fused() -> Iterator[OpCase]:
    for ops in FUSED:
        extra = (f32("n", 5),) if "Add" in ops else ()
        yield OpCase(
            f"_FusedMatMul_{'_'.join(ops)}",
            lambda *v, ops=ops: fused_matmul(*v, ops=ops),
            (f32("n", 4), f32(4, 5), f32(5), *extra),
            traced=True,
            tolerance=2e-5,
        )
    yield OpCase(
        "_FusedMatMul_transposed",
        lambda *v: fused_matmul(*v, ops=("BiasAdd", "Relu"), transpose_b=True),
        (f32("n", 4), f32(5, 4), f32(5)),
        traced=True,
    )
    yield OpCase(
        "_FusedMatMul_leaky",
        lambda *v: fused_matmul(*v, ops=("BiasAdd", "LeakyRelu"), leakyrelu_alpha=0.5),
        (f32("n", 4), f32(4, 5), f32(5)),
        traced=True,
    )


CASES = (*_matmuls(), *_batch_matmuls(), *_einsums(), *_fused())
