"""Ops that are left to other backends, and why: what the report says of them."""

from __future__ import annotations

_REASONS: dict[str, str] = {
    "TensorRT's layer gives as many boxes as there are, where the op pads to a fixed number": """
        CombinedNonMaxSuppression NonMaxSuppressionV4 NonMaxSuppressionV5
    """,
    "layers know sums along an axis alone": """
        Cumprod CumulativeLogsumexp
    """,
    "layers compute with bools and numbers, not with bits": """
        BitwiseAnd BitwiseOr BitwiseXor Invert LeftShift RightShift Bitcast
    """,
    "an engine of another backend holds whole loops and branches": """
        While StatelessWhile If StatelessIf Case StatelessCase
    """,
}

LEFT: dict[str, str] = {name: reason for reason, names in _REASONS.items() for name in names.split()}
