"""What options may be: their types and values, checked when settings are made, before anything is read or built."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from tf_blade.errors import InvalidInputError

_CAPABILITY = re.compile(r"[1-9]\d*\.\d")


def unknown_option(name: str, known: Sequence[str]) -> InvalidInputError:
    """The error for a keyword that is no option; it names those that are near."""
    near = difflib.get_close_matches(name, known, cutoff=0.5)
    near += [item for item in known if item.endswith(f"_{name}") and item not in near]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
    return InvalidInputError(f"there is no option {name!r}; {hint}")


def checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """The value of an option, in the option's own type: a tuple of a list, a text of a path.

    Raises:
        InvalidInputError: it has another type, or is not allowed; names the option, and says what is.
    """
    if value is None and "None" in str(field.type):
        return value
    kind = str(field.type)
    converted = _sequence(field, value, kind) if kind.startswith("tuple") else _single(kind, value)
    if converted is None:
        raise InvalidInputError(f"{field.name} is {value!r}; give {_WANTED[kind]}")
    _check_value(field, converted)
    return converted


_WANTED = {
    "bool": "True or False",
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
}


def _single(kind: str, value: Any) -> Any:
    """The value as bool, int, float or str; None where it is none."""
    is_bool = isinstance(value, (bool, np.bool_))
    if kind == "bool":
        return bool(value) if is_bool else None
    if kind == "int":
        return int(value) if isinstance(value, Integral) and not is_bool else None
    if kind == "float":
        return float(value) if isinstance(value, Real) and not is_bool else None
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    return path if isinstance(path, str) else None


def _sequence(field: dataclasses.Field[Any], value: Any, kind: str) -> tuple[Any, ...]:
    """The value as a tuple.

    Raises:
        InvalidInputError: it is one string, or number, or has something else in it; shows how to write it.
    """
    element = "int" if "int" in kind else "str"
    wanted = f"a sequence of {'whole numbers' if element == 'int' else 'strings'}"
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidInputError(f"{field.name} is {value!r}; give {wanted}{_example(value, element)}")
    items = tuple(sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)
    converted = tuple(_single(element, item) for item in items)
    if None in converted:
        wrong = items[converted.index(None)]
        raise InvalidInputError(f"{field.name} has {wrong!r} in it; give {wanted}{_example(wrong, element)}")
    return converted


def _example(value: Any, element: str) -> str:
    """How to write what was probably meant: ", as ['tensorrt', 'disc']" for 'tensorrt,disc'."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return ""
    items: list[Any] = [item.strip() for item in str(value).split(",") if item.strip()]
    if element == "int":
        items = [int(item) for item in items if item.isdecimal()]
    return f", as {items}" if items else ""


def _check_value(field: dataclasses.Field[Any], value: Any) -> None:
    """Compares a value with its option's rules."""
    rules, shown = field.metadata, f"{field.name} (--{field.name.replace('_', '-')})"
    allowed = rules.get("allowed", ())
    if allowed:
        given = value if isinstance(value, tuple) else (value,)
        wrong = [item for item in given if item not in allowed]
        if wrong or not given:
            what = f"names {wrong[0]!r}" if wrong else "is empty"
            raise InvalidInputError(f"{shown} {what}; there are: {', '.join(allowed)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not _is_within(rules, value):
        kind = "whole" if isinstance(value, int) else "finite" if "finite" in rules else ""
        bound = f", {rules['least']} or larger" if "least" in rules else ""
        bound += f", larger than {rules['above']}" if "above" in rules else ""
        raise InvalidInputError(f"{shown} is {value}; give a {f'{kind} number'.strip()}{bound}")
    for item in value if rules.get("capabilities") else ():
        if not _CAPABILITY.fullmatch(item):
            raise InvalidInputError(f"{shown} names {item!r}, which is no compute capability; write it like 8.9")


def _is_within(rules: Mapping[str, Any], value: float) -> bool:
    is_number = not math.isnan(value) and not (math.isinf(value) and "finite" in rules)
    return is_number and value >= rules.get("least", value) and ("above" not in rules or value > rules["above"])
