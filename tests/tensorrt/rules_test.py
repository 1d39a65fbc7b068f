"""Every rule twice: the builder makes a plan of its network, and the network's layers compute what TensorFlow does."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.ops.harness import OpCase
from tests.tensorrt import kit
from tf_blade.backends.tensorrt.ops.base import RULES

# Modules tests/ops/cases_<family>.py, whose rows run on every backend, and what only TensorRT is asked.
SHARED = (
    "elementwise", "matrix", "reductions", "shape", "movement", "convolution", "images", "rearrange", "losses",
    "segments",
)  # fmt: skip
OWN = {"tensorrt": "tests.tensorrt.cases", "tensorrt_images": "tests.tensorrt.cases_images"}
FAMILIES = (*SHARED, *OWN)
# Rows of an op, with different types or attributes, that get a plan: builds take time.
ROWS_IN_PLAN = 4


def cases_of(family: str) -> list[OpCase]:
    """The rows of a family that may concern TensorRT: those named after an op that has a rule."""
    cases = importlib.import_module(OWN.get(family, f"tests.ops.cases_{family}")).CASES
    return [case for case in cases if case.name.partition("_")[0] in RULES and kit.suits(case)]


@functools.cache
def checked(family: str) -> tuple[kit.Checked, ...]:
    """The rows of a family that convert, each compared with TensorFlow."""
    results = (kit.check(case) for case in cases_of(family))
    return tuple(item for item in results if item is not None)


class RulesTest(parameterized.TestCase):
    @parameterized.parameters(*FAMILIES)
    def test_networks_compute_what_tensorflow_does(self, family: str) -> None:
        self.assertNotEmpty(checked(family))

    @parameterized.parameters(*FAMILIES)
    def test_the_builder_makes_plans(self, family: str) -> None:
        counts: dict[str, int] = {}
        rows = []
        for row in checked(family):
            op = row.case.name.partition("_")[0]
            counts[op] = counts.get(op, 0) + 1
            if counts[op] <= ROWS_IN_PLAN:
                rows.append(row)
        kit.check_plan(self, rows)

    @parameterized.parameters("Atan2_corners", "Pow_root")
    def test_zeros_have_the_signs_of_tensorflows(self, name: str) -> None:
        """A quotient by them has another infinity otherwise; comparisons of results take them for equal."""
        (case,) = (case for case in cases_of("tensorrt") if case.name == name)
        arrays = [arg.fill(np.random.default_rng(0), {"n": 9}) for arg in case.inputs]
        (result,) = kit.Run(kit.converter().convert(kit.trace(case)[1], frozenset()))(arrays)
        wanted = np.asarray(case.fn(*map(tf.constant, arrays)))
        zeros = wanted == 0
        self.assertTrue(zeros.any())
        np.testing.assert_array_equal(np.signbit(wanted[zeros]), np.signbit(result[zeros]))

    def test_each_rule_is_in_a_row_with_unknown_sizes(self) -> None:
        rows = [row for family in FAMILIES for row in checked(family)]
        self.assertEmpty(set(RULES) - {node.op for row in rows if row.case.names for node in row.graph.nodes})


if __name__ == "__main__":
    absltest.main()
