"""The benchmark's arithmetic: net times, best peers, ratios, means, and the tables of them."""

import math
from typing import Any

from absl.testing import absltest, parameterized

from benchmarks.cpu.peers import results
from benchmarks.cpu.peers.rows import ROWS, Row

_ROW = Row("some_8", "some", {"batch": 8}, flops=2e9, bytes=3e6)


def _measured(calls: dict[str, float], empty: dict[str, float]) -> dict[str, Any]:
    return {
        "calls": {key: {"ms": ms, "low": ms, "high": ms, "calls": 5} for key, ms in calls.items()},
        "empty": empty,
        "errors": dict.fromkeys(calls, 1e-06),
        "foreign_load": 0.0,
        "idle": {},
    }


_MEASURED = _measured(
    {
        "tensorflow.python": 10.1,
        "tensorflow.session": 8.1,
        "xla.python": 6.0,
        "onnxruntime.python": 4.2,
        "openvino.python": 4.1,
        "tf_blade.python": 2.2,
        "tf_blade.session": 2.1,
    },
    {
        "tensorflow.python": 0.1,
        "tensorflow.session": 0.1,
        "xla.python": 0.0,
        "onnxruntime.python": 0.2,
        "openvino.python": 0.0,
        "tf_blade.python": 0.2,
        "tf_blade.session": 0.1,
    },
)


class NetTest(parameterized.TestCase):
    def test_empty_calls_are_subtracted_from_their_own_framework(self) -> None:
        net = results.net("some_8", _MEASURED)
        # ONNX Runtime's call is the slower one, but its work is the faster.
        self.assertEqual(net.peer, "onnxruntime.python")
        self.assertAlmostEqual(net.ms["onnxruntime.python"], 4.0)
        self.assertAlmostEqual(net.over_peer("session"), 2.0)
        self.assertAlmostEqual(net.over_tensorflow("session"), 4.0)
        self.assertAlmostEqual(net.over_tensorflow("python"), 5.0)

    def test_what_was_not_measured_has_no_ratio(self) -> None:
        net = results.net("some_8", _measured({"tf_blade.session": 2.0, "tensorflow.session": 3.0}, {}))
        self.assertEqual((dict(net.ms), net.peer), ({}, ""))
        self.assertTrue(math.isnan(net.over_peer("session")))
        self.assertTrue(math.isnan(net.over_tensorflow("session")))

    def test_a_call_as_short_as_an_empty_one_is_not_infinitely_fast(self) -> None:
        net = results.net(
            "some_8",
            _measured(
                {"tf_blade.session": 0.5, "xla.python": 1.5},
                {
                    "tf_blade.session": 0.6,
                    "xla.python": 0.5,
                },
            ),
        )
        self.assertGreater(net.ms["tf_blade.session"], 0)
        self.assertTrue(math.isfinite(net.over_peer("session")))

    @parameterized.parameters(([2.0, 8.0], 4.0), ([3.0], 3.0), ([1.0, math.nan, 4.0], 2.0), ([0.5, 2.0, math.inf], 1.0))
    def test_geometric_mean(self, values: list[float], expected: float) -> None:
        self.assertAlmostEqual(results.geometric_mean(values), expected)

    def test_geometric_mean_of_nothing(self) -> None:
        self.assertTrue(math.isnan(results.geometric_mean([])))


class TablesTest(parameterized.TestCase):
    @parameterized.parameters(
        (0.12345, "0.123"), (12.345, "12.3"), (123.4, "123"), (4567.8, "4568"), (0.0, "0"),
        (0.00123, "0.0012"), (math.nan, "–"), (None, "–"),
    )  # fmt: skip
    def test_number(self, value: float | None, expected: str) -> None:
        self.assertEqual(results.number(value), expected)

    def test_net_table_has_ratios_and_their_mean(self) -> None:
        rows = [_ROW, Row("other_1", "other", {}, 0.0, 0.0)]
        slower = {**_MEASURED, "calls": {**_MEASURED["calls"], "tf_blade.session": {"ms": 8.1}}}
        table = results.net_table(rows, {"some_8": _MEASURED, "other_1": slower}, {"fma": 200.0, "copy_memory": 20.0})
        head, _, first, second, mean = table.splitlines()
        place = [cell.strip() for cell in head.split("|")].index("÷peer session")
        cells = [[cell.strip(" *") for cell in line.split("|")][place] for line in (first, second, mean)]
        self.assertEqual(cells, ["2.00", "0.500", "1.00"])
        self.assertIn("| 10.0 |", first)  # the floor: 2 GFLOP at 200 GFLOP/s

    def test_rows_that_were_not_measured_are_left_out(self) -> None:
        text = results.to_markdown(ROWS, {"rows": {"gru_64": _MEASURED}})
        self.assertIn("gru_64", text)
        self.assertNotIn("bert", text)

    def test_floor_is_the_harder_of_the_two_ceilings(self) -> None:
        ceilings = {"fma": 100.0, "copy_memory": 10.0}
        self.assertAlmostEqual(results.floor_ms(Row("a", "a", {}, 1e9, 1e6), ceilings), 10.0)
        self.assertAlmostEqual(results.floor_ms(Row("a", "a", {}, 1e6, 1e8), ceilings), 10.0)

    def test_templates_are_compared_with_their_own_ceiling(self) -> None:
        found = {"fma": 200.0, "copy_memory": 20.0, "gemm_2x2x2": 150.0, "chain_8": 15.0, "copy_L1": 300.0}
        self.assertEqual(results.shares(found), {"gemm_2x2x2": 0.75, "chain_8": 0.75})

    def test_outputs_that_differ_are_named(self) -> None:
        measured = {"a": {**_MEASURED, "errors": {"xla.python": 1e-2, "openvino.python": 1e-6, "x": math.nan}}}
        self.assertLen(results.worst_errors(measured, 1e-3), 2)

    def test_stream_table_compares_totals(self) -> None:
        item = {"lengths": [3, 5], "first_ms": [2000.0, 4000.0], "steady_ms": [1000.0, 2000.0]}
        line = results.stream_table({"bert": {"openvino.python": item}}).splitlines()[2]
        self.assertEqual([cell.strip() for cell in line.split("|")[2:6]], ["2", "6.00", "3.00", "2.00"])


if __name__ == "__main__":
    absltest.main()
