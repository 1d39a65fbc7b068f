"""The documented options and reasons are those that the code has."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from absl.testing import absltest, parameterized

from tf_blade import cli
from tf_blade.settings import Settings
from tools import usage_tables

_ROOT = Path(__file__).resolve().parents[2]


class UsageTest(parameterized.TestCase):
    def test_the_page_is_current(self) -> None:
        page = usage_tables.PAGE.read_text(encoding="utf-8")
        self.assertEqual(page, usage_tables.filled(page), "run tools/usage_tables.py")
        for name in usage_tables.TABLES:
            self.assertIn(f"<!-- table {name} -->", page)

    def test_every_setting_is_a_flag_with_the_same_default(self) -> None:
        arguments = cli.make_parser().parse_args(["optimize", "a", "b"])
        for field in dataclasses.fields(Settings):
            self.assertEqual(getattr(arguments, field.name), field.default, field.name)
            self.assertIn(f"`{field.name}`", "\n".join(usage_tables.settings()))

    def test_a_stale_table_is_noticed(self) -> None:
        page = "text\n<!-- table phases -->\n| old |\n<!-- end -->\nmore\n"
        new = usage_tables.filled(page)
        self.assertNotEqual(page, new)
        self.assertNotIn("| old |", new)
        self.assertStartsWith(new, "text\n<!-- table phases -->\n| phase |")
        self.assertEqual(new, usage_tables.filled(new))

    @parameterized.parameters(("Calls", "reason.cc", "breaker_open"), ("Portable calls", "stats.cc", "damaged"))
    def test_every_reason_of_the_runtime_is_explained(self, section: str, file: str, example: str) -> None:
        source = (_ROOT / "custom_ops" / "runtime" / file).read_text(encoding="utf-8")
        names = re.findall(r'"(\w+)"', re.split(r"kNames(?:\[\])? = \{", source)[1].partition("};")[0])
        self.assertIn(example, names)
        page = (_ROOT / "docs" / "fallbacks.md").read_text(encoding="utf-8")
        rows = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        explained = re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)
        self.assertCountEqual(explained, [name for name in names if name != "none"])


if __name__ == "__main__":
    absltest.main()
