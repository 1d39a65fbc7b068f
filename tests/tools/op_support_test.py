"""docs/op_support.md tells what the rules do."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
from absl.testing import absltest, parameterized

from tf_blade.backends.disc.ops.base import RULES
from tf_blade.backends.disc.ops.left import LEFT, REASONS
from tf_blade.backends.tensorrt.ops.base import RULES as TENSORRT_RULES
from tf_blade.backends.tensorrt.ops.left import LEFT as TENSORRT_LEFT
from tf_blade.backends.tensorrt.ops.left import REASONS as TENSORRT_REASONS
from tools import op_support


class OpSupportTest(parameterized.TestCase):
    def test_the_page_is_current(self) -> None:
        self.assertEqual(op_support.PAGE.read_text(encoding="utf-8"), op_support.page(), "run tools/op_support.py")

    def test_the_page_of_tensorrt_is_current(self) -> None:
        text = op_support.TENSORRT_PAGE.read_text(encoding="utf-8")
        self.assertEqual(text, op_support.tensorrt_page(), "run tools/op_support.py")
        (row,) = [line for line in text.splitlines() if line.startswith("| `Conv2D` |")]
        self.assertTrue(row.startswith("| `Conv2D` | T: all floats but double | low | operands of ranks … and …"), row)
        self.assertIn("explicit paddings", row)
        self.assertIn("| `ScatterNd` ", text)

    def test_reasons_are_those_of_the_rule_and_of_what_it_calls(self) -> None:
        (row,) = [line for line in op_support.page().splitlines() if line.startswith("| `MaxPool` ")]
        self.assertIn("an image batch has rank 4", row)
        self.assertIn("data_format other than NHWC", row)
        self.assertIn("… over batch or channels", row)
        self.assertIn("all types but bool, uint32, uint64", row)

    def test_every_rule_has_a_row(self) -> None:
        lines = op_support.page().splitlines()
        for name in RULES:
            self.assertLen([line for line in lines if line.startswith(f"| `{name}` |")], 1, name)

    def test_enough_ops(self) -> None:
        self.assertGreaterEqual(len(RULES), 220)

    @parameterized.parameters((LEFT, RULES, REASONS), (TENSORRT_LEFT, TENSORRT_RULES, TENSORRT_REASONS))
    def test_what_is_left_exists_and_has_no_rule(
        self, left: Mapping[str, str], rules: Mapping[str, object], reasons: Mapping[str, str]
    ) -> None:
        self.assertEmpty(set(left) & set(rules))
        known = set(tf.raw_ops.__dict__)
        self.assertEmpty([name for name in left if name not in known and not name.startswith("_")])
        self.assertLen(left, sum(len(names.split()) for names in reasons.values()), "an op is listed twice")


if __name__ == "__main__":
    absltest.main()
