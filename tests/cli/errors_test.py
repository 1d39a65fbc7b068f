"""Whatever is wrong: one line that says what to do, a status, an untouched source and no target."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tests.cli import kit
from tests.folders import class_folder
from tests.saved_model import models, workshop
from tf_blade import pipeline
from tf_blade.backends import registry

workshop.register()
registry.register("wrong", kit.Wrong)


@dataclasses.dataclass(frozen=True)
class Case:
    """A call that fails.

    Attributes:
        argv: of the command; {src} and {dst} are replaced, {dir} is the folder that holds dst.
        message: what its line says.
        prepare: makes things in the folder before.
        env: environment variables.
        status: the exit status.
    """

    argv: str
    message: str
    prepare: Callable[[Path], object] = lambda folder: None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: int = 1


def _write(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)


def _link(path: Path, folder: Path) -> None:
    folder.mkdir()
    path.symlink_to(folder)


def _damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def prepare(folder: Path) -> None:
        (folder / "bad").mkdir()
        data = (folder / "src" / "saved_model.pb").read_bytes()
        (folder / "bad" / "saved_model.pb").write_bytes(change(data))

    return prepare


def _inputs(**arrays: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: np.savez(folder / "inputs.npz", **{name.replace("__", "/"): v for name, v in arrays.items()})  # type: ignore[arg-type]


def _cut(path: Path, **arrays: np.ndarray) -> None:
    _inputs(**arrays)(path.parent)
    os.truncate(path, path.stat().st_size // 2)


def _batching(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "file").write_text(text)


_TEXT = np.array([["a"] * 4])
_NO_COMPILER = {"TF_BLADE_CXX": "/nonexistent/c++"}
CASES: dict[str, Case] = {
    "source missing": Case("optimize {dir}/none {dst}", "none does not exist"),
    "source is a file": Case("optimize {src}/saved_model.pb {dst}", "is a file; a SavedModel is the folder"),
    "source is no SavedModel": Case("optimize {dir}/bad {dst}", "no SavedModel: there", lambda f: (f / "bad").mkdir()),
    "corrupt": Case("optimize {dir}/bad {dst}", "is corrupt", _damaged(lambda data: b"\xff" * 100)),
    "truncated": Case("optimize {dir}/bad {dst}", "is corrupt", _damaged(lambda data: data[: len(data) // 2])),
    "empty": Case("optimize {dir}/bad {dst}", "no meta graph tagged 'serve'", _damaged(lambda data: b"")),
    "target exists": Case("optimize {src} {dst}", "exists; choose another one, or pass", lambda f: (f / "dst").mkdir()),
    "target is a file": Case(
        "optimize {src} {dst} --overwrite", "is no folder", lambda f: (f / "dst").write_text("mine")
    ),
    "target is something else": Case(
        "optimize {src} {dir}/other --overwrite",
        "holds something else",
        lambda f: _write(f / "other" / "file", "mine"),
    ),
    "target is the source": Case("optimize {src} {src} --overwrite", "is the source"),
    "target inside the source": Case("optimize {src} {src}/dst", "lie in one another"),
    "no folder for the target": Case("optimize {src} {dir}/none/dst", "does not exist; create it first"),
    "target cannot be written": Case("optimize {src} /proc/tf_blade_target {quick}", "cannot be written"),
    "target that is no text": Case("optimize {src} {dir}/\udcff", "no path that is not UTF-8"),
    "unknown signature": Case("optimize {src} {dst} --signatures=nope", "no signature 'nope'; there are: embed, score"),
    "unknown backend": Case("optimize {src} {dst} --backends=magic", "no backend 'magic'; there are: .*disc"),
    "backend named twice": Case("optimize {src} {dst} --backends=disc,disc", "named twice"),
    "unknown phase to stop after": Case("optimize {src} {dst} --stop-after=nope", "no phase 'nope'; there are: read, "),
    "unknown phase to dump": Case("optimize {src} {dst} --dump-after=read,nope", "no phase 'nope'; there are: read, "),
    "dumps cannot be written": Case("optimize {src} {dst} --dump-after=read --dump-dir=/proc/dumps", "/proc/dumps"),
    "unknown log channel": Case(
        "optimize {src} {dst}", "TF_BLADE_LOGS names no log channel: 'nope'", env={"TF_BLADE_LOGS": "support,nope"}
    ),
    "a range that is none": Case(
        "optimize {src} {dst} --tensorrt-ranges=x[0]=8:4", "must be 1 or more, and grow; write "
    ),
    "a range without an axis": Case(
        "optimize {src} {dst} --tensorrt-ranges=x=1:8", "'x=1:8' is no range of sizes: write"
    ),
    "two ranges": Case("optimize {src} {dst} --tensorrt-ranges=x[0]=1:8,x[0]=2:3", r"x\[0\] is given two ranges"),
    "a range of no input": Case(
        "optimize {src} {dst} --tensorrt-ranges=y[0]=1:8", "no input 'y' .*; there are: a, b, x"
    ),
    "a range of no dimension": Case(
        "optimize {src} {dst} --tensorrt-ranges=x[2]=1:8", r"input 'x' has 2 dimensions, so that there is no x\[2\]"
    ),
    "a range of a fixed dimension": Case("optimize {src} {dst} --tensorrt-ranges=x[1]=1:8", r"x\[1\] is 4 for good"),
    "batching parameters missing": Case(
        "optimize {src} {dst} --batching-parameters-file={dir}/none", "parameters .*none cannot be read: No such file"
    ),
    "batching parameters of another kind": Case(
        "optimize {src} {dst} --batching-parameters-file={dir}/file",
        'no batching parameters .*: line 1, column 1: .*no field named "max"',
        _batching("max {"),
    ),
    "batching parameters without sizes": Case(
        "optimize {src} {dst} --batching-parameters-file={dir}/file",
        "neither allowed_batch_sizes nor max_batch_size",
        _batching("num_batch_threads { value: 2 }"),
    ),
    "batching parameters that shrink": Case(
        "optimize {src} {dst} --batching-parameters-file={dir}/file",
        "must be above zero and grow; they are 4, 2",
        _batching("max_batch_size { value: 2 } allowed_batch_sizes: 4 allowed_batch_sizes: 2"),
    ),
    "batching parameters that a server refuses": Case(
        "optimize {src} {dst} --batching-parameters-file={dir}/file",
        "the last of allowed_batch_sizes is 4 and max_batch_size is 8: they must be equal",
        _batching("allowed_batch_sizes: [2, 4] max_batch_size { value: 8 }"),
    ),
    "batch sizes beside batching parameters": Case(
        "optimize {src} {dst} --batching-parameters-file={dir}/file --batch-sizes=4", "give batch_sizes or .* not both"
    ),
    "strict without a compiler": Case(
        "optimize {src} {dst} --strict {eager}", "could not build cluster .*no C\\+\\+ compiler", env=_NO_COMPILER
    ),
    "strict, and a backend raises": Case(
        "optimize {src} {dst} --strict --backends=raising {eager}", "raising could not build cluster .*out of luck"
    ),
    "sample inputs missing": Case("optimize {src} {dst} --sample-inputs={dir}/none.npz", "there is no file"),
    "sample inputs of another kind": Case(
        "optimize {src} {dst} --sample-inputs={dir}/inputs.npz",
        "no .npz of plain arrays",
        lambda f: (f / "inputs.npz").write_text("text"),
    ),
    "sample inputs of another model": Case(
        "optimize {src} {dst} --sample-inputs={dir}/inputs.npz", "has z, which is no input", _inputs(z=np.ones(3))
    ),
    "sample inputs of another type": Case(
        "optimize {src} {dst} {quick} --sample-inputs={dir}/inputs.npz",
        r"input 'x' of signature 'embed' is float32\[\?, 4\]; given is <U1\[1, 4\]",
        _inputs(embed__x=_TEXT),
    ),
    "sample inputs that are one array": Case(
        "optimize {src} {dst} --sample-inputs={dir}/one.npy",
        r"one array without a name \(.npy\); write an .npz",
        lambda f: np.save(f / "one.npy", np.ones(3)),
    ),
    "sample inputs that are cut": Case(
        "optimize {src} {dst} --sample-inputs={dir}/inputs.npz",
        "no .npz of plain arrays",
        lambda f: _cut(f / "inputs.npz", embed__x=np.ones((99, 4))),
    ),
    "sample inputs of another precision": Case(
        "optimize {src} {dst} --sample-inputs={dir}/inputs.npz",
        r"'embed' is float32\[\?, 4\]; given is float64\[1, 4\]",
        _inputs(embed__x=np.ones((1, 4))),
    ),
    "no signature": Case(
        "optimize {src} {dst} --signatures=,", r"\(--signatures\) names none; name some, or leave it out"
    ),
    "no backend": Case("optimize {src} {dst} --backends=", r"\(--backends\) is empty; there are: .*disc"),
    "no instruction set": Case("optimize {src} {dst} --isas=", r"\(--isas\) is empty; there are: x86-64-v3, "),
    "unknown instruction set": Case(
        "optimize {src} {dst} --isas=avx", r"\(--isas\) names 'avx'; there are: x86-64-v3, x86-64-v4"
    ),
    "no batch size": Case(
        "optimize {src} {dst} --batch-sizes=0", r"\(--batch-sizes\) must be numbers from 1 to .* are 0"
    ),
    "batch sizes of no machine": Case("optimize {src} {dst} --batch-sizes=1,99999999999", "given are 1, 99999999999"),
    "tolerance below zero": Case("optimize {src} {dst} --rtol=-1", r"\(--rtol\) is -1.0; give a finite number"),
    "no number of microseconds": Case(
        "optimize {src} {dst} --min-cluster-gain-us=nan", r"gain-us\) is nan; give a number"
    ),
    "fewer than no nodes": Case(
        "optimize {src} {dst} --min-cluster-nodes=-1", "is -1; give a whole number, 0 or larger"
    ),
    "unknown precision": Case(
        "optimize {src} {dst} --tensorrt-precision=fp8",
        r"precision \(--tensorrt-precision\) names 'fp8'; there are: fp32, tf32, fp16, bf16",
    ),
    "no compute capability": Case(
        "optimize {src} {dst} --tensorrt-targets=8.9,sm_89",
        r"\(--tensorrt-targets\) names 'sm_89', which is no compute capability; write it like 8.9",
    ),
    "no time to build": Case(
        "optimize {src} {dst} --tensorrt-seconds=0", r"seconds\) is 0.0; give a number, larger than 0"
    ),
    "dumps where a file is": Case(
        "optimize {src} {dst} --dump-after=read --dump-dir={dir}/file",
        r"dumps cannot be written to .*file \(--dump-dir\): File exists",
        lambda f: (f / "file").write_text("mine"),
    ),
    "target in a file": Case(
        "optimize {src} {dir}/file/dst", "file is no folder; choose another target", lambda f: (f / "file").touch()
    ),
    "target is a link": Case(
        "optimize {src} {dir}/link --overwrite", "link is no folder, so", lambda f: _link(f / "link", f / "other")
    ),
    "target is a link to nothing": Case(
        "optimize {src} {dir}/link --overwrite", "link is no folder, so", lambda f: (f / "link").symlink_to(f / "none")
    ),
    "target is the source by another name": Case("optimize {dir}/src {src} --overwrite", "is the source"),
    "inspect without a signature": Case("inspect {src} --signatures=", "names none"),
    "verify without a signature": Case("verify {src} {src} --signatures=", "names none"),
    "verify without a tolerance": Case("verify {src} {src} --rtol=inf", r"\(--rtol\) is inf"),
    "bench without a signature": Case("bench {src} {src} --signatures=", "names none"),
    "bench for less than no time": Case("bench {src} {src} --seconds=-1", "seconds is -1.0; give a finite number"),
    "inspect nothing": Case("inspect {dir}/none", "none does not exist"),
    "inspect with an unknown backend": Case("inspect {src} --backends=magic", "no backend 'magic'"),
    "verify nothing": Case("verify {src} {dst}", "dst does not exist"),
    "verify with another type": Case(
        "verify {src} {src} --inputs={dir}/inputs.npz", "'embed' is float32", _inputs(embed__x=_TEXT)
    ),
    "verify with another shape": Case(
        "verify {src} {src} --inputs={dir}/inputs.npz", r"given is float64\[2, 5\]", _inputs(embed__x=np.ones((2, 5)))
    ),
    "verify an unknown signature": Case("verify {src} {src} --signatures=nope", "no signature 'nope'"),
    "bench nothing": Case("bench {dir}/none {src}", "none does not exist"),
    "bench an unknown signature": Case("bench {src} {src} --signatures=nope", "no signature 'nope'"),
    "bench with another shape": Case(
        "bench {src} {src} --inputs={dir}/inputs.npz", r"given is float64\[4\]", _inputs(embed__x=np.ones(4))
    ),
}
USAGE = {
    "no command": "",
    "unknown command": "improve {src}",
    "unknown flag": "optimize {src} {dst} --faster",
    "no target": "optimize {src}",
    "no number": "optimize {src} {dst} --min-cluster-nodes=many",
    "negative seed": "bench {src} {src} --seed=-1",
    "no threads": "bench {src} {src} --threads=-1",
    "no seed": "verify {src} {src} --seed=x",
    "no batch sizes": "optimize {src} {dst} --batch-sizes=a",
    "no key": "sign {src} {dst}",
}


class ErrorsTest(parameterized.TestCase):
    source: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.source = class_folder(cls) / "src"
        models.shared(cls.source)

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        (self.folder / "src").symlink_to(self.source)

    def _argv(self, text: str) -> list[str]:
        groups = {"{quick}": kit.QUICK, "{eager}": kit.EAGER}
        places = {"src": self.source, "dst": self.folder / "dst", "dir": self.folder}
        return [item.format(**places) for word in text.split() for item in groups.get(word, (word,))]

    @parameterized.named_parameters((name, name) for name in CASES)
    def test_one_line(self, name: str) -> None:
        case = CASES[name]
        case.prepare(self.folder)
        before, files = workshop.digest(self.source), workshop.digest(self.folder)
        found = kit.call(*self._argv(case.argv), env=case.env)
        self.assertEqual(found.status, case.status, found.err)
        self.assertEqual(found.out, "")
        self.assertLen(found.err.splitlines(), 1, found.err)
        self.assertStartsWith(found.err, "tf-blade: ")
        self.assertRegex(found.err, case.message)
        self.assertEqual(before, workshop.digest(self.source), "the source was touched")
        self.assertEqual(files, workshop.digest(self.folder), "something was written")

    @parameterized.named_parameters(USAGE.items())
    def test_usage(self, argv: str) -> None:
        found = kit.call(*self._argv(argv))
        self.assertEqual(found.status, 2)
        self.assertIn("usage: tf-blade", found.err)
        self.assertEmpty(workshop.digest(self.folder / "dst"))

    def test_a_wrong_result_is_not_published(self) -> None:
        found = kit.call("optimize", self.source, self.folder / "dst", "--backends=wrong", *kit.EAGER)
        self.assertEqual(found.status, 1)
        self.assertStartsWith(found.err, "tf-blade: results differ from the original's; nothing was published\n")
        self.assertRegex(found.err, r"embed +\w+ +WRONG")
        self.assertEqual(os.listdir(self.folder), ["src"])
        # without the comparison nobody would notice
        found = kit.call("optimize", self.source, self.folder / "dst", "--backends=wrong", "--no-verify", *kit.EAGER)
        self.assertEqual(found.status, 0, found.err)
        found = kit.call("verify", self.source, self.folder / "dst")
        self.assertEqual((found.status, found.err), (1, ""))
        self.assertRegex(found.out, r"embed +\w+ +WRONG")

    @parameterized.parameters(
        ({"TF_BLADE_CXX": "/nonexistent/c++"}, "disc", "no C\\+\\+ compiler"),
        ({}, "broken", "out of luck"),
        ({}, "raising", "ZeroDivisionError: out of luck"),
    )
    def test_clusters_that_cannot_be_built_stay_tensorflow(self, env: dict[str, str], name: str, reason: str) -> None:
        found = kit.call("optimize", self.source, self.folder / "dst", f"--backends={name}", *kit.EAGER, env=env)
        self.assertEqual((found.status, found.err), (0, ""))
        self.assertRegex(found.out, f"not built, so TensorFlow runs them\n.*\\({name}\\): {reason}")
        self.assertRegex(found.out, r"engines  0 in \d bodies")
        result = kit.call("verify", self.source, self.folder / "dst")
        self.assertEqual(result.status, 0, result.out)

    def test_the_next_backend_takes_what_the_first_could_not_build(self) -> None:
        backends = "--backends=broken,no_engine"
        found = kit.call("optimize", self.source, self.folder / "dst", backends, *kit.EAGER)
        self.assertEqual(found.status, 0, found.err)
        self.assertIn("(broken): out of luck", found.out)
        self.assertRegex(found.out, r"\d +no_engine +4 B")

    @parameterized.parameters(*pipeline.LABELS)
    def test_interrupted(self, label: str) -> None:
        """Ctrl-C in any phase, with a former target in place."""
        target = self.folder / "dst"
        self.assertEqual(kit.call("optimize", self.source, target, *kit.QUICK, "--no-verify").status, 0)
        before = workshop.digest(self.folder)

        def interrupt(progress: object, name: str, total: int = 1) -> None:
            if name == label:
                raise KeyboardInterrupt

        with mock.patch("tf_blade.progress.SilentProgress.phase", interrupt):
            found = kit.call("optimize", self.source, target, *kit.QUICK, "--overwrite")
        self.assertEqual((found.status, found.err), (130, "tf-blade: interrupted; nothing was written\n"))
        self.assertEqual(before, workshop.digest(self.folder))
        self.assertCountEqual(os.listdir(self.folder), ["src", "dst"])


if __name__ == "__main__":
    absltest.main()
