"""Options from Python: a wrong type, value or name is one clear error before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

import tf_blade
from tests.saved_model import models
from tf_blade import cli, errors
from tf_blade.backends.disc.toolchain import LEVELS
from tf_blade.backends.tensorrt.precision import PRECISIONS
from tf_blade.backends.tensorrt.weights import INPUTS, REFIT
from tf_blade.settings import Settings

_NAN, _INF = float("nan"), float("inf")
# An option, a wrong value, and the whole error.
WRONG: tuple[tuple[str, Any, str], ...] = (
    ("backends", "tensorrt", "backends is 'tensorrt'; give a sequence of strings, as ['tensorrt']"),
    ("backends", "tensorrt,disc", "backends is 'tensorrt,disc'; give a sequence of strings, as ['tensorrt', 'disc']"),
    ("backends", (b"disc",), "backends has b'disc' in it; give a sequence of strings"),
    (
        "signatures",
        "serving_default",
        "signatures is 'serving_default'; give a sequence of strings, as ['serving_default']",
    ),
    ("tensorrt_ranges", "x[1]=1:2", "tensorrt_ranges is 'x[1]=1:2'; give a sequence of strings, as ['x[1]=1:2']"),
    ("tensorrt_targets", 8.9, "tensorrt_targets is 8.9; give a sequence of strings, as ['8.9']"),
    ("tensorrt_targets", [8.9], "tensorrt_targets has 8.9 in it; give a sequence of strings, as ['8.9']"),
    ("isas", "x86-64-v3", "isas is 'x86-64-v3'; give a sequence of strings, as ['x86-64-v3']"),
    ("batch_sizes", 8, "batch_sizes is 8; give a sequence of whole numbers, as [8]"),
    ("batch_sizes", "1,8", "batch_sizes is '1,8'; give a sequence of whole numbers, as [1, 8]"),
    ("batch_sizes", (1, 2.5), "batch_sizes has 2.5 in it; give a sequence of whole numbers"),
    ("batch_sizes", None, "batch_sizes is None; give a sequence of whole numbers"),
    ("min_cluster_nodes", "2", "min_cluster_nodes is '2'; give a whole number"),
    ("min_cluster_nodes", True, "min_cluster_nodes is True; give a whole number"),
    ("rtol", "1e-3", "rtol is '1e-3'; give a number"),
    ("verify", "no", "verify is 'no'; give True or False"),
    ("sign_key", b"key", "sign_key is b'key'; give a string"),
    ("isas", ["avx9"], "isas (--isas) names 'avx9'; there are: x86-64-v3, x86-64-v4"),
    (
        "tensorrt_precision",
        "fp8",
        "tensorrt_precision (--tensorrt-precision) names 'fp8'; there are: fp32, tf32, fp16, bf16",
    ),
    ("tensorrt_weights", "refitt", "tensorrt_weights (--tensorrt-weights) names 'refitt'; there are: inputs, refit"),
    (
        "tensorrt_targets",
        ["sm_89"],
        "tensorrt_targets (--tensorrt-targets) names 'sm_89', which is no compute capability; write it like 8.9",
    ),
    (
        "tensorrt_targets",
        ["8.95"],
        "tensorrt_targets (--tensorrt-targets) names '8.95', which is no compute capability; write it like 8.9",
    ),
    ("rtol", -1e-3, "rtol (--rtol) is -0.001; give a finite number, 0 or larger"),
    ("rtol", _NAN, "rtol (--rtol) is nan; give a finite number, 0 or larger"),
    ("rtol", _INF, "rtol (--rtol) is inf; give a finite number, 0 or larger"),
    ("min_cluster_gain_us", _NAN, "min_cluster_gain_us (--min-cluster-gain-us) is nan; give a number"),
    ("min_cluster_nodes", -1, "min_cluster_nodes (--min-cluster-nodes) is -1; give a whole number, 0 or larger"),
    ("weight_bytes", -1, "weight_bytes (--weight-bytes) is -1; give a whole number, 0 or larger"),
    ("tensorrt_seconds", 0, "tensorrt_seconds (--tensorrt-seconds) is 0.0; give a number, larger than 0"),
    ("tensorrt_seconds", _NAN, "tensorrt_seconds (--tensorrt-seconds) is nan; give a number, larger than 0"),
    ("tensorrt_memory_mb", -1, "tensorrt_memory_mb (--tensorrt-memory-mb) is -1; give a whole number, 0 or larger"),
)


class OptionsTest(parameterized.TestCase):
    @parameterized.parameters(*WRONG)
    def test_wrong(self, name: str, value: Any, message: str) -> None:
        """Before the source is looked at, which is not there."""
        with self.assertRaises(errors.InvalidInputError) as caught:
            tf_blade.optimize_saved_model("nowhere", "nothing", **{name: value})
        self.assertEqual(message, str(caught.exception))

    @parameterized.parameters(
        ("precision", "did you mean tensorrt_precision?"),
        ("backend", "did you mean backends?"),
        ("stritc", "did you mean strict?"),
        ("quux", "there are: backends, signatures, strict, "),
    )
    def test_an_option_that_does_not_exist(self, name: str, hint: str) -> None:
        for call in (lambda **options: tf_blade.optimize_saved_model("a", "b", **options), _inspect):
            with self.assertRaises(errors.InvalidInputError) as caught:
                call(**{name: "high"})
            self.assertStartsWith(str(caught.exception), f"there is no option {name!r}; {hint}")

    @parameterized.parameters(tf_blade.verify_saved_model, tf_blade.bench_saved_model)
    def test_comparisons(self, compare: Any) -> None:
        with self.assertRaisesRegex(errors.InvalidInputError, r"signatures is 'a,b'; .*, as \['a', 'b'\]"):
            compare("nowhere", "nothing", signatures="a,b")

    @parameterized.parameters("0.1", _NAN, -1.0)
    def test_tolerances_of_comparisons(self, rtol: Any) -> None:
        with self.assertRaisesRegex(errors.InvalidInputError, r"rtol \(--rtol\) is .*; give a finite number"):
            tf_blade.verify_saved_model("nowhere", "nothing", rtol=rtol)

    def test_options_of_a_backend_that_is_not_wanted(self) -> None:
        source = Path(self.create_tempdir().full_path) / "src"
        models.shared(source)
        options: dict[str, Any] = {"backends": ["disc"], "stop_after": "read"}
        with self.assertLogs("tf_blade.pipeline", "WARNING") as logs:
            report = tf_blade.optimize_saved_model(
                source, "nothing", **options, tensorrt_precision="fp16", tensorrt_weights="inputs"
            )
        note = "tensorrt_precision has no effect: backends are disc"
        self.assertEqual([note], report.notes)
        self.assertEqual([f"WARNING:tf_blade.pipeline:tf_blade: {note}"], logs.output)
        report = tf_blade.inspect_saved_model(source, **options, tensorrt_seconds=9, tensorrt_targets=["8.9"]).plan
        self.assertEqual(["tensorrt_targets, tensorrt_seconds have no effect: backends are disc"], report.notes)
        self.assertEmpty(tf_blade.optimize_saved_model(source, "nothing", **options).notes)

    def test_what_is_taken(self) -> None:
        made = Settings(
            backends=["disc"],  # type: ignore[arg-type]
            signatures={"b": 1, "a": 2}.keys(),  # type: ignore[arg-type]
            batch_sizes=np.array([1, 4]),  # type: ignore[arg-type]
            rtol=0,
            min_cluster_nodes=np.int64(0),
            strict=np.True_,  # type: ignore[arg-type]
            sign_key=Path("key.pem"),  # type: ignore[arg-type]
            tensorrt_seconds=_INF,
        )
        wanted = Settings(
            signatures=("b", "a"),
            batch_sizes=(1, 4),
            rtol=0.0,
            min_cluster_nodes=0,
            strict=True,
            sign_key="key.pem",
            tensorrt_seconds=_INF,
        )
        self.assertEqual(repr(wanted), repr(made))

    def test_allowed_are_those_that_there_are(self) -> None:
        allowed = {name: item.metadata.get("allowed") for name, item in Settings.__dataclass_fields__.items()}
        self.assertEqual(tuple(LEVELS), allowed["isas"])
        self.assertEqual(tuple(PRECISIONS), allowed["tensorrt_precision"])
        self.assertEqual((INPUTS, REFIT), allowed["tensorrt_weights"])

    def test_flags_have_the_defaults(self) -> None:
        parsed = cli.make_parser().parse_args(["optimize", "a", "b"])
        self.assertEqual(
            Settings(), Settings(**{name: getattr(parsed, name) for name in Settings.__dataclass_fields__})
        )


def _inspect(**options: Any) -> object:
    return tf_blade.inspect_saved_model("a", **options)


if __name__ == "__main__":
    absltest.main()
