"""Writes docs/op_support.md and docs/tensorrt_ops.md from the op rules: `op_support.py` rewrites, `--check` compares.

What a rule refuses is read from its source: the reasons of `ctx.require` and `Unsupported`, in the rule and in the
functions of the same package that it calls.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_blade import dtypes  # noqa: E402 (the checkout comes first)
from tf_blade.backends.disc import ops  # noqa: E402
from tf_blade.backends.disc.ops.base import RULES, OpRule  # noqa: E402
from tf_blade.backends.disc.ops.left import REASONS  # noqa: E402
from tf_blade.backends.tensorrt import ops as tensorrt_ops  # noqa: E402
from tf_blade.backends.tensorrt.ops.base import RULES as TENSORRT_RULES  # noqa: E402
from tf_blade.backends.tensorrt.ops.base import OpRule as TensorrtRule  # noqa: E402
from tf_blade.backends.tensorrt.ops.left import REASONS as TENSORRT_REASONS  # noqa: E402

PAGE = ROOT / "docs" / "op_support.md"
TENSORRT_PAGE = ROOT / "docs" / "tensorrt_ops.md"
_PACKAGES = (ops.__name__, tensorrt_ops.__name__)
_SETS: Mapping[str, frozenset[dtypes.DType]] = {
    "all types": dtypes.ALL,
    "all numbers": dtypes.NUMERIC,
    "all floats": dtypes.FLOATS,
    "all integers": dtypes.INTEGERS,
}
# Methods of OpContext that refuse.
_INPUTS = {
    "const": "an input that must be known when compiling and is not",
    "const_int": "an input that must be known when compiling and is not",
    "dim": "a size that does not follow from shapes and small integer inputs",
    "dims": "a size that does not follow from shapes and small integer inputs",
}
_HEAD = """# Supported ops

<!-- Written by tools/op_support.py from the rules in tf_blade/backends/disc/ops/. -->

{count} TensorFlow ops can run in an engine. A node that its op's rule refuses stays TensorFlow, with the reason in the
report; so does a node whose input has an unknown rank or a type that is not listed. Sizes that a rule relies on and
that are not known when optimizing are checked in each call, and a call that breaks one is TensorFlow's.

*All types* are {types};
*all numbers* are all of these but bool.
The last column lists what a rule refuses, or asks for and refuses otherwise, in the words of the report; `…` stands for
what the node has there.

| op | types | refuses, or asks for |
|---|---|---|
"""
_TAIL = """
## Left to TensorFlow

Ops that are in neither list have no rule yet; docs/adding.md tells how to add one.

| reason | ops |
|---|---|
"""
_TENSORRT_TAIL = """
## Left to the next backend

| reason | ops |
|---|---|
"""
_TENSORRT_HEAD = """# Ops that TensorRT takes

<!-- Written by tools/op_support.py from the rules in tf_blade/backends/tensorrt/ops/. -->

{count} TensorFlow ops can be in a plan; [tensorrt.md](tensorrt.md) tells the rest. A node that its op's rule refuses is
left to the next backend, with the reason in the report. No rule takes float64, strings, complex numbers, or integers
of 8 and 16 bits but for quantization, or ranks beyond 8. The third column says what the op does in half precision:
*low* computes in it, *follow* computes in the type of its widest computed operand, *full* computes in float32, *as_is*
takes each operand in the type that it has.

| op | types | half precision | refuses, or asks for |
|---|---|---|---|
"""


def tensorrt_page() -> str:
    """The page of TensorRT's rules."""
    rows = [
        f"| `{name}` | {_types(rule)} | {rule.precision.name.lower()} | {_refused(rule)} |"
        for name, rule in sorted(TENSORRT_RULES.items())
    ]
    head = _TENSORRT_HEAD.format(count=len(TENSORRT_RULES))
    return "\n".join([head + "\n".join(rows), _TENSORRT_TAIL + "\n".join(_left(TENSORRT_REASONS)), ""])


def page() -> str:
    """The whole page."""
    rows = [f"| `{name}` | {_types(rule)} | {_refused(rule)} |" for name, rule in sorted(RULES.items())]
    types = ", ".join(item.name.lower() for item in sorted(dtypes.ALL))
    head = _HEAD.format(count=len(RULES), types=types)
    return "\n".join([head + "\n".join(rows), _TAIL + "\n".join(_left(REASONS)), ""])


def _left(reasons: Mapping[str, str]) -> list[str]:
    return [f"| {reason} | {' '.join(f'`{name}`' for name in names.split())} |" for reason, names in reasons.items()]


def _types(rule: OpRule | TensorrtRule) -> str:
    return "; ".join(f"{name}: {_spelled(accepted)}" for name, accepted in rule.types.items())


def _spelled(accepted: frozenset[dtypes.DType]) -> str:
    for name, members in _SETS.items():
        if accepted == members:
            return name
    for name, members in _SETS.items():
        missing = members - accepted
        if accepted < members and len(missing) < len(accepted) and len(missing) <= 3:
            return f"{name} but {', '.join(item.name.lower() for item in sorted(missing))}"
    return ", ".join(item.name.lower() for item in sorted(accepted))


def _refused(rule: OpRule | TensorrtRule) -> str:
    function = rule.lower if isinstance(rule, OpRule) else rule.convert
    module = sys.modules[function.__module__]
    assert isinstance(function, FunctionType)
    name = function.__qualname__.partition(".")[0]
    return "; ".join(dict.fromkeys(_reasons(module, name, set()))).replace("|", "\\|")


def _reasons(module: ModuleType, name: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The reasons in a function or class of a module and in what it calls, in the order of the text."""
    if (module.__name__, name) in seen:
        return
    seen.add((module.__name__, name))
    tree = _definitions(module).get(name)
    if tree is None:
        return
    for node in _in_order(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == "require" and len(node.args) == 2:
            yield _text(node.args[1])
        elif called == "Unsupported" and node.args:
            yield _text(node.args[0])
        elif isinstance(node.func, ast.Name):
            target = getattr(module, called, None)
            owner = sys.modules.get(getattr(target, "__module__", None) or "")
            if owner is not None and owner.__name__.startswith(_PACKAGES) and not owner.__name__.endswith(".base"):
                yield from _reasons(owner, called, seen)
        elif called in _INPUTS:
            yield _INPUTS[called]


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


@functools.cache
def _definitions(module: ModuleType) -> Mapping[str, ast.AST]:
    tree = ast.parse(inspect.getsource(module))
    return {item.name: item for item in tree.body if isinstance(item, ast.FunctionDef | ast.ClassDef)}


def _text(node: ast.expr) -> str:
    """A string as it is written, with `…` for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(item.value) if isinstance(item, ast.Constant) else "…" for item in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "…"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the pages are current")
    check = parser.parse_args().check
    stale = False
    for path, text in ((PAGE, page()), (TENSORRT_PAGE, tensorrt_page())):
        if check:
            stale = stale or not path.exists() or path.read_text(encoding="utf-8") != text
        else:
            path.write_text(text, encoding="utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
