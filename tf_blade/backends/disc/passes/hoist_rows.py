"""Takes a product with a row of a list out of a loop that reads all rows: one product of the whole list before it.

    while: x[i] W + h U   =>   y = x W;  while: y[i] + h U

A loop over single rows reads all of W in each turn, as much as a product of many rows reads once. The loop must run
as many turns as the list has rows, or at most as many: other loops might use few of the rows. Which rows it reads does
not matter, and neither does an index out of range, which is an error as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tf_blade import symbolic
from tf_blade.backends.disc.ir.builder import Builder
from tf_blade.backends.disc.ir.values import Module, Op, Value
from tf_blade.backends.disc.passes.regions import map_regions, rebuild_regions


def run(module: Module) -> Module:
    """Rewrites all loops, inner ones too."""
    return rebuild_regions(module, _rewrite)


def _rewrite(builder: Builder, op: Op) -> Sequence[Value]:
    attrs = map_regions(op.attrs, run)
    if op.kind != "while" or attrs["trips"] is None:
        return builder.rebuild(op, op.operands, **attrs).results
    body: Module = attrs["body"]
    carried = int(attrs["carried"])
    given = dict(zip(body.parameters[carried:], op.operands[carried:], strict=True))
    products = [item for item in body.ops() if _is_row_product(item, given, attrs["trips"])]
    made: dict[Value, Value] = {}
    for item in products:
        row, right = item.operands
        whole = builder.dot(
            given[row.op.operands[0]], _outer(builder, right, given), transpose_b=item.attrs["transpose_b"]
        )
        made[item.result] = whole
    attrs["body"] = _read_rows(body, made, list(made))
    attrs["cond"] = _read_rows(attrs["cond"], made, [])
    return builder.rebuild(op, [*op.operands, *made.values()], **attrs).results


def _is_row_product(op: Op, given: Mapping[Value, Value], trips: symbolic.Dim) -> bool:
    if op.kind != "dot" or op.attrs["transpose_a"]:
        return False
    row, right = op.operands
    if row.kind != "gather" or row.op.attrs["axis"] != 0 or right.rank != 2:
        return False
    whole, index = row.op.operands
    if index.rank != 0 or whole not in given or not (right in given or right.kind == "constant"):
        return False
    return symbolic.equal(whole.shape[0], trips)


def _outer(builder: Builder, value: Value, given: Mapping[Value, Value]) -> Value:
    return given[value] if value in given else builder.constant(value.op.attrs["array"])


def _read_rows(region: Module, made: Mapping[Value, Value], products: Sequence[Value]) -> Module:
    """The region with a parameter for each whole product, whose rows take the places of `products`."""
    inner = Builder()
    inner.parameters = list(region.parameters)
    wholes = {old: inner.parameter(whole.dtype, whole.shape) for old, whole in made.items()}
    values: dict[Value, Value] = {value: value for value in region.parameters}
    for op in region.ops():
        if op.kind == "parameter":
            continue
        if op.results[0] in products:
            index = values[op.operands[0].op.operands[1]]
            values[op.results[0]] = inner.gather(wholes[op.results[0]], index, axis=0)
            continue
        rebuilt = inner.rebuild(op, [values[item] for item in op.operands])
        values.update(zip(op.results, rebuilt.results, strict=True))
    return Module(region.name, list(inner.parameters), [values[item] for item in region.results])
