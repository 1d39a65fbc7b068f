"""What makes a module legal; checked after each pass in debug mode and in all tests."""

from __future__ import annotations

from tf_blade.backends.disc.ir.spec import SPECS
from tf_blade.backends.disc.ir.values import Module, Op
from tf_blade.errors import LegalityError
from tf_blade.symbolic import same_shape


def check(module: Module) -> None:
    """Examines every op against its spec.

    Raises:
        LegalityError: an op breaks a rule; the message shows it with its operands.
    """
    for position, value in enumerate(module.parameters):
        if value.kind != "parameter" or value.op.attrs["index"] != position:
            raise LegalityError(f"parameter {position} of module {module.name} is {value.op}")
    known = {value.op for value in module.parameters}
    for op in module.ops():
        if op.kind == "parameter" and op not in known:
            raise LegalityError(f"{op} is no parameter of module {module.name}")
        _check_op(op)
        for region in op.regions():
            check(region)


def _check_op(op: Op) -> None:
    spec = SPECS.get(op.kind)
    if spec is None:
        raise LegalityError(f"no op kind {op.kind!r}")
    try:
        types = spec.infer([value.type for value in op.operands], op.attrs)
    except ValueError as error:
        raise LegalityError(f"{error}\n{_with_operands(op)}") from error
    for value, expected in zip(op.results, types, strict=True):
        if value.dtype != expected.dtype or not same_shape(value.shape, expected.shape):
            raise LegalityError(f"result {value.type} should be {expected}\n{_with_operands(op)}")


def _with_operands(op: Op) -> str:
    return "\n".join([*(f"  {value.op}" for value in op.operands), f"> {op}"])
