"""Requested devices: which can go together. A specification may leave parts open ("/job:worker/device:CPU:0")."""

from __future__ import annotations


def parse(device: str) -> dict[str, str]:
    """The parts of a specification by kind: job, replica, task, device (type) and id. Parts left open are missing."""
    parts: dict[str, str] = {}
    for item in device.strip("/").split("/"):
        if not item:
            continue
        kind, _, value = item.partition(":")
        if kind.lower() in ("cpu", "gpu"):  # the old spelling, "/cpu:0"
            kind, value = "device", f"{kind}:{value}"
        if kind == "device":
            type_, _, number = value.partition(":")
            parts["device"] = type_.upper()
            if number and number != "*":
                parts["id"] = number
        else:
            parts[kind] = value
    return parts


def device_type(device: str) -> str:
    """CPU, GPU, …, or the empty string where the specification leaves it open."""
    return parse(device).get("device", "")


def merge(a: str, b: str) -> str | None:
    """A specification that satisfies both, or None when there is none."""
    if a == b or not b:
        return a
    if not a:
        return b
    first, second = parse(a), parse(b)
    if any(second.get(kind, value) != value for kind, value in first.items()):
        return None
    return _spell({**first, **second})


def _spell(parts: dict[str, str]) -> str:
    text = "".join(f"/{kind}:{parts[kind]}" for kind in ("job", "replica", "task") if kind in parts)
    if "device" in parts:
        text += f"/device:{parts['device']}:{parts.get('id', '*')}"
    return text
