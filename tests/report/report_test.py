"""The report's numbers, its JSON and its text, from a record made by hand."""

from __future__ import annotations

import json

from absl.testing import absltest, parameterized

from tf_blade.report import text
from tf_blade.report.report import (
    ClusterReport,
    FailureReport,
    PhaseReport,
    RefusalReport,
    Report,
    Totals,
    WrittenReport,
)


def _report() -> Report:
    return Report(
        source="in",
        target="out",
        totals=Totals(
            bodies=2, nodes=50, nodes_in_engines=40, nominal_flops=2_000_000, nominal_flops_in_engines=1_900_000,
            engines=1, engine_bytes=3 * 1024 * 1024,
        ),
        clusters=[
            ClusterReport(
                "serve_0", "serve", "disc", 40, {"MatMul": 3, "Relu": 37}, "64*batch", 1_900_000, "disc",
                3 * 1024 * 1024, 2.5, {"kernels": "3 dot, 1 loop"},
            ),
            ClusterReport("main_0", "", "", 4, {"Add": 4}, "4", 4, "disc"),
        ],
        refusals=[
            *(RefusalReport(f"lookup{i}", "LookupTableFindV2", "serve", "disc", "no rule for op") for i in range(5)),
            RefusalReport("x", "_Arg", "serve", "disc", "it is an argument"),
            RefusalReport("small", "Add", "", "", "1 computing nodes are fewer than 2"),
        ],
        build_failures=[FailureReport("main_0", "disc", "no C++ compiler")],
        notes=["a body could not be read"],
        phases=[PhaseReport("read", 0.012), PhaseReport("build", 12.25)],
    )  # fmt: skip


class ReportTest(parameterized.TestCase):
    def test_shares(self) -> None:
        report = _report()
        self.assertAlmostEqual(report.engine_flops_share, 0.95)
        self.assertAlmostEqual(report.engine_nodes_share, 0.8)
        self.assertEqual(Report("nothing to do").engine_flops_share, 1.0)

    def test_refusals_are_grouped_and_none_is_lost(self) -> None:
        groups = _report().refusal_groups()
        self.assertEqual(
            [(group.op, len(group.nodes)) for group in groups], [("LookupTableFindV2", 5), ("Add", 1), ("_Arg", 1)]
        )
        self.assertEqual(groups[0].nodes[4], ("serve", "lookup4"))

    def test_json_holds_everything(self) -> None:
        found = json.loads(_report().to_json())
        self.assertEqual(found["source"], "in")
        self.assertEqual(found["totals"]["nodes_in_engines"], 40)
        self.assertAlmostEqual(found["totals"]["engine_flops_share"], 0.95)
        self.assertEqual(found["clusters"][0]["ops"], {"MatMul": 3, "Relu": 37})
        self.assertEqual(found["clusters"][0]["flops"], "64*batch")
        self.assertEqual(found["clusters"][0]["details"], {"kernels": "3 dot, 1 loop"})
        self.assertEqual(
            found["build_failures"], [{"cluster": "main_0", "backend": "disc", "reason": "no C++ compiler"}]
        )
        self.assertEqual([item["seconds"] for item in found["phases"]], [0.012, 12.25])
        names = {node["node"] for group in found["refusals"] for node in group["nodes"]}
        self.assertEqual(names, {*(f"lookup{i}" for i in range(5)), "x", "small"})
        self.assertEqual([group["count"] for group in found["refusals"]], [5, 1, 1])

    def test_text_tells_what_matters(self) -> None:
        lines = _report().to_text().splitlines()
        self.assertEqual(str(_report()), "\n".join(lines))
        self.assertEqual(lines[0], "in -> out")
        self.assertEqual(lines[1], "  engines  1 in 2 bodies, 3.0 MB, built in 2.50 s")
        self.assertEqual(lines[2], "  nodes    40 of 50 in engines (80.0%)")
        self.assertStartsWith(lines[3], "  FLOPs    1.9 M of 2.0 M in engines (95.0%)")
        whole = "\n".join(lines)
        self.assertRegex(
            whole, r"serve_0 +serve +40 +1\.9 M +disc +3\.0 MB +2\.50 s +64\*batch +kernels: 3 dot, 1 loop"
        )
        self.assertRegex(whole, r"main_0 +main graph +4 +4 +none of disc")
        self.assertIn("main_0 (disc): no C++ compiler", whole)
        self.assertRegex(whole, r" 5 +LookupTableFindV2 +disc: no rule for op +lookup0, lookup1, lookup2 and 2 more")
        self.assertRegex(whole, r" 1 +Add +1 computing nodes are fewer than 2 +small")
        self.assertNotIn("_Arg", whole)  # arguments are given, not refused
        self.assertIn("a body could not be read", whole)
        self.assertIn("read 12 ms, build 12.2 s", whole)

    def test_a_model_of_no_floating_point_work(self) -> None:
        lines = Report("in", totals=Totals(bodies=1, nodes=3)).to_text().splitlines()
        self.assertIn("  FLOPs    no floating-point work", lines)

    @parameterized.parameters(
        (False, 2, "not portable: whatever serves it needs the op library"),
        (True, 2, "portable: TensorFlow without the op library serves it too, without engines"),
        (True, 0, "no engines: TensorFlow runs all of it"),
    )
    def test_what_was_written(self, portable: bool, engines: int, form: str) -> None:
        report = _report()
        report.written = WrittenReport(5 << 20, portable, engines)
        self.assertEqual(report.to_text().splitlines()[1], f"  written  5.0 MB, {form}")
        written = json.loads(report.to_json())["written"]
        self.assertEqual(written, {"bytes": 5 << 20, "portable": portable, "engines": engines})

    def test_earlier_engines(self) -> None:
        report = _report()
        report.totals.earlier_engines = 3
        earlier = "  earlier  3 engine ops of an earlier optimization; what these hold is not counted below"
        self.assertEqual(report.to_text().splitlines()[2], earlier)
        self.assertEqual(json.loads(report.to_json())["totals"]["earlier_engines"], 3)
        lines = Report("in", totals=Totals(bodies=1, nodes=1, earlier_engines=1)).to_text().splitlines()
        self.assertIn("  FLOPs    no other floating-point work", lines)

    def test_nothing_written(self) -> None:
        self.assertStartsWith(Report("in").to_text(), "in (nothing written)\n")


class TextTest(absltest.TestCase):
    def test_numbers(self) -> None:
        self.assertEqual([text.size(n) for n in (0, 1023, 1536, 5 << 30)], ["0 B", "1023 B", "1.5 KB", "5.0 GB"])
        self.assertEqual([text.flops(n) for n in (0, 999, 1500, 22_300_000_000)], ["0", "999", "1.5 K", "22.3 G"])
        self.assertEqual([text.seconds(n) for n in (0.0004, 0.5, 1.5, 75.04)], ["0 ms", "500 ms", "1.50 s", "75.0 s"])
        self.assertEqual(text.count(1, "body", "bodies"), "1 body")

    def test_table_leaves_empty_columns_out(self) -> None:
        rows = [("a", "", "10"), ("long", "", "9")]
        self.assertEqual(
            text.table(("name", "note", "count"), rows, right=(2,)), ["name  count", "a        10", "long      9"]
        )
        self.assertEqual(text.table(("name",), []), [])

    def test_long_things_are_cut(self) -> None:
        self.assertEqual(text.shorten("abcdef", 4), "abc…")
        self.assertEqual(text.first_few(["a", "b", "c", "d"], 2), "a, b and 2 more")
        self.assertEqual(text.first_few(["a"]), "a")


if __name__ == "__main__":
    absltest.main()
