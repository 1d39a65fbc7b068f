"""The op rules, one file for each family. Importing the package registers them."""

from tf_blade.backends.tensorrt.ops import elementwise, matrix, movement, reductions, shape, slicing

__all__ = ["elementwise", "matrix", "movement", "reductions", "shape", "slicing"]
