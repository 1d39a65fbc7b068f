"""The op rules, one file for each family. Importing the package registers them."""

from tf_blade.backends.tensorrt.ops import (
    convolution,
    diagonals,
    elementwise,
    gathers,
    images,
    matrix,
    movement,
    nearest,
    normalization,
    pooling,
    powers,
    quantization,
    rearrange,
    reductions,
    shape,
    slicing,
)

__all__ = [
    "convolution",
    "diagonals",
    "elementwise",
    "gathers",
    "images",
    "matrix",
    "movement",
    "nearest",
    "normalization",
    "pooling",
    "powers",
    "quantization",
    "rearrange",
    "reductions",
    "shape",
    "slicing",
]
