"""Rows of the benchmark, their selection, and the stream of lengths."""

import numpy as np
from absl.testing import absltest, parameterized

from benchmarks.cpu.peers import measure, stream
from benchmarks.cpu.peers.rows import EMPTY, LONGEST, ROWS, STREAMS, by_model, select
from tests import zoo


class RowsTest(parameterized.TestCase):
    def test_every_row_is_a_full_size_model_at_sizes_it_takes(self) -> None:
        self.assertLen({row.name for row in ROWS}, len(ROWS))
        for row in ROWS:
            if row.model != EMPTY:
                self.assertEqual(set(row.sizes), set(zoo.get(row.model, full=True).dims), row.name)
                zoo.get(row.model, full=True).example(row.sizes)

    @parameterized.parameters(
        ("*", 15),
        ("bert_*", 3),
        ("gru*,empty", 2),
        (" resnet50_8 , ranking_32 ", 2),
    )
    def test_selection(self, patterns: str, count: int) -> None:
        self.assertLen(select(patterns), count)

    def test_selection_keeps_the_order_of_the_table(self) -> None:
        self.assertEqual([row.name for row in select("resnet50_1,chain_8")], ["chain_8", "resnet50_1"])

    def test_a_pattern_that_matches_nothing_is_an_error(self) -> None:
        with self.assertRaisesRegex(ValueError, "no row matches 'brt_\\*'"):
            select("empty,brt_*")

    def test_rows_of_a_model_are_measured_together(self) -> None:
        groups = by_model(select("ranking_*,gru_64"))
        self.assertEqual({model: len(rows) for model, rows in groups.items()}, {"ranking": 3, "gru": 1})

    def test_costs_of_a_known_shape(self) -> None:
        (bert,) = select("bert_1x128")
        # 12 layers of 7.08 million weights, 128 tokens; attention adds a little.
        self.assertAlmostEqual(bert.flops, 22.35e9, delta=0.05e9)
        self.assertAlmostEqual(bert.bytes, 340e6, delta=2e6)


class StreamTest(parameterized.TestCase):
    def test_lengths_are_new_in_no_order_and_the_same_each_time(self) -> None:
        lengths = stream.lengths(200)
        self.assertLen(set(lengths), 200)
        self.assertNotIn(stream.WARM, lengths)
        self.assertNotEqual(lengths, sorted(lengths))
        self.assertBetween(min(lengths), 1, LONGEST)
        self.assertLessEqual(max(lengths), LONGEST)
        self.assertEqual(lengths, stream.lengths(200))

    def test_more_lengths_than_there_are(self) -> None:
        with self.assertRaises(ValueError):
            stream.lengths(LONGEST)

    def test_groups_hold_every_length_once(self) -> None:
        groups = stream.groups(list(range(23)), 10)
        self.assertEqual([len(group) for group in groups], [10, 10, 3])
        self.assertEqual([item for group in groups for item in group], list(range(23)))

    def test_streamed_models_take_every_length(self) -> None:
        for model in STREAMS.values():
            zoo.get(model, full=True).example({"batch": 1, "length": LONGEST})


class DifferenceTest(parameterized.TestCase):
    def test_relative_to_the_largest_magnitude(self) -> None:
        expected = np.array([0.0, -4.0, 2.0], np.float32)
        self.assertAlmostEqual(measure.difference(expected + np.float32(0.5), expected), 0.125)

    def test_what_cannot_be_compared_is_infinitely_far(self) -> None:
        expected = np.ones(3, np.float32)
        self.assertEqual(measure.difference(np.ones((3, 1), np.float32), expected), np.inf)
        self.assertEqual(measure.difference(np.array([1, np.nan, 1], np.float32), expected), np.inf)


if __name__ == "__main__":
    absltest.main()
