"""What can be wrong with sources and targets, and what an interrupted run leaves behind: nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized
from tensorflow.core.protobuf import saved_model_pb2

import tf_blade
from tests.saved_model import models, workshop
from tf_blade import errors, pipeline
from tf_blade.saved_model import check, files, writer

workshop.register()
OPTIONS: dict[str, Any] = {"backends": ("no_engine",), "verify": False, "warmup": False, **workshop.EAGER}


def _remove_pb(src: Path) -> None:
    (src / "saved_model.pb").unlink()


def _truncate(src: Path) -> None:
    file = src / "saved_model.pb"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _other_tags(src: Path) -> None:
    file = src / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    message.meta_graphs[0].meta_info_def.tags[:] = ["train", "gpu"]
    file.write_bytes(message.SerializeToString())


def _no_meta_graph(src: Path) -> None:
    (src / "saved_model.pb").write_bytes(b"")


def _text_form(src: Path) -> None:
    (src / "saved_model.pb").rename(src / "saved_model.pbtxt")


def _replace_by_file(src: Path) -> None:
    shutil.rmtree(src)
    src.write_text("a file")


class SourceTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("missing", shutil.rmtree, "does not exist"),
        ("a_file", _replace_by_file, "is a file"),
        ("no_message", _remove_pb, "no saved_model.pb"),
        ("text_form", _text_form, "saved_model.pbtxt"),
        ("truncated", _truncate, "corrupt"),
        ("other_tags", _other_tags, "{gpu, train}"),
        ("empty_message", _no_meta_graph, "none at all"),
    )
    def test_is_refused(self, damage: Callable[[Path], None], words: str) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.shared(folder / "src")
        damage(folder / "src")
        with self.assertRaisesRegex(errors.InvalidSavedModelError, words):
            tf_blade.optimize_saved_model(folder / "src", folder / "dst", **OPTIONS)
        self.assert_no_target(folder)

    def assert_no_target(self, folder: Path) -> None:
        self.assertLessEqual({item.name for item in folder.iterdir()}, {"src"})

    def test_unknown_signature(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.shared(folder / "src")
        with self.assertRaisesRegex(errors.UnknownSignatureError, "no signature 'nope'.*embed, score, serving_default"):
            tf_blade.optimize_saved_model(folder / "src", folder / "dst", signatures=["nope"], **OPTIONS)

    @parameterized.parameters(
        ({"backends": ("gpu4",)}, "no backend 'gpu4'"),
        ({"backends": ("disc", "disc")}, "named twice"),
        ({"stop_after": "lunch"}, "no phase 'lunch'"),
        ({"dump_after": ("lunch",)}, "no phase 'lunch'"),
    )
    def test_unknown_options(self, options: dict[str, Any], words: str) -> None:
        folder = Path(self.create_tempdir().full_path)
        with self.assertRaisesRegex(errors.TfBladeError, words):
            tf_blade.optimize_saved_model(folder / "src", folder / "dst", **options)


class TargetTest(parameterized.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.src = self.folder / "src"
        models.shared(self.src)
        self.before = workshop.digest(self.src)

    def refuses(self, dst: Path, words: str, **options: Any) -> None:
        entries = {item.name for item in self.folder.iterdir()}
        with self.assertRaisesRegex(errors.TargetError, words):
            tf_blade.optimize_saved_model(self.src, dst, **{**OPTIONS, **options})
        self.assertEqual(self.before, workshop.digest(self.src))
        self.assertEqual(entries, {item.name for item in self.folder.iterdir()})

    def test_is_the_source(self) -> None:
        self.refuses(self.src, "is the source", overwrite=True)

    def test_is_a_link_to_the_source(self) -> None:
        (self.folder / "link").symlink_to(self.src)
        self.refuses(self.folder / "link", "is the source", overwrite=True)

    def test_is_in_the_source(self) -> None:
        self.refuses(self.src / "variables" / "dst", "in one another")

    def test_holds_the_source(self) -> None:
        self.refuses(self.folder, "in one another", overwrite=True)

    def test_exists(self) -> None:
        (self.folder / "dst").mkdir()
        self.refuses(self.folder / "dst", "exists")

    def test_is_something_else(self) -> None:
        dst = self.folder / "dst"
        dst.mkdir()
        (dst / "precious.txt").write_text("mine")
        self.refuses(dst, "something else than a SavedModel", overwrite=True)
        self.assertEqual((dst / "precious.txt").read_text(), "mine")

    def test_is_a_file(self) -> None:
        (self.folder / "dst").write_text("mine")
        self.refuses(self.folder / "dst", "no folder", overwrite=True)

    def test_has_no_parent(self) -> None:
        self.refuses(self.folder / "a" / "b", "does not exist")

    def test_cannot_be_written(self) -> None:
        with mock.patch.object(os, "access", return_value=False):
            self.refuses(self.folder / "dst", "cannot be written")

    def test_disk_full(self) -> None:
        error = OSError(28, "No space left on device")
        with mock.patch("tf_blade.saved_model.files.shutil.copystat", side_effect=error):
            self.refuses(self.folder / "dst", "No space left on device")

    def test_is_on_disk_before_it_is_published(self) -> None:
        synced: set[int] = set()
        at_publishing: list[set[int]] = []
        sync, publish = os.fsync, files._publish

        def note(handle: int) -> None:
            synced.add(os.fstat(handle).st_ino)
            sync(handle)

        def note_publishing(temporary: Path, dst: Path, **options: Any) -> None:
            at_publishing.append(set(synced))
            publish(temporary, dst, **options)

        with mock.patch.object(os, "fsync", note), mock.patch.object(files, "_publish", note_publishing):
            tf_blade.optimize_saved_model(self.src, self.folder / "dst", **OPTIONS)
        dst = self.folder / "dst"
        self.assertLessEqual({path.stat().st_ino for path in (dst, *dst.rglob("*"))}, at_publishing[0])
        self.assertIn(self.folder.stat().st_ino, synced)

    @parameterized.parameters(True, False)
    def test_is_replaced_when_complete(self, can_exchange: bool) -> None:
        dst = self.folder / "dst"
        models.dense(dst)
        (dst / "stale.txt").write_text("of the former model")
        exchange = files._exchange if can_exchange else lambda a, b: False
        with mock.patch.object(files, "_exchange", exchange):
            tf_blade.optimize_saved_model(self.src, dst, overwrite=True, **OPTIONS)
        self.assertEqual(self.before.keys(), workshop.digest(dst).keys())
        self.assertEqual({item.name for item in self.folder.iterdir()}, {"src", "dst"})

    @parameterized.product(
        phase=["write_saved_model", "check_lossless"],
        error=[KeyboardInterrupt, ZeroDivisionError, MemoryError],
        exists=[False, True],
    )
    def test_interrupted(self, phase: str, error: type[BaseException], exists: bool) -> None:
        dst = self.folder / "dst"
        if exists:
            models.dense(dst)
        entries = {item.name for item in self.folder.iterdir()}
        former = workshop.digest(dst)
        real = getattr(pipeline, phase)

        def work_then_fail(*args: object) -> None:
            real(*args)
            raise error

        with mock.patch.object(pipeline, phase, work_then_fail), self.assertRaises(error):
            tf_blade.optimize_saved_model(self.src, dst, overwrite=exists, **OPTIONS)
        self.assertEqual(entries, {item.name for item in self.folder.iterdir()})
        self.assertEqual(former, workshop.digest(dst))
        self.assertEqual(self.before, workshop.digest(self.src))

    def test_came_into_being_meanwhile(self) -> None:
        dst = self.folder / "dst"
        real = check.check_lossless

        def work(*args: Any) -> Any:
            written = real(*args)
            dst.mkdir()
            (dst / "precious.txt").write_text("mine")
            return written

        for overwrite, words in ((False, "exists"), (True, "something else")):
            with mock.patch.object(pipeline, "check_lossless", work), self.assertRaisesRegex(errors.TargetError, words):
                tf_blade.optimize_saved_model(self.src, dst, overwrite=overwrite, **OPTIONS)
            self.assertEqual((dst / "precious.txt").read_text(), "mine")
            self.assertEqual({item.name for item in self.folder.iterdir()}, {"src", "dst"})
            shutil.rmtree(dst)

    @parameterized.parameters("d" * 255, "é" * 127, "モデル\n 😀")
    def test_has_an_unusual_name(self, name: str) -> None:
        tf_blade.optimize_saved_model(self.src, self.folder / name, **OPTIONS)
        self.assertEqual({item.name for item in self.folder.iterdir()}, {"src", name})
        self.assertEqual(self.before.keys(), workshop.digest(self.folder / name).keys())

    def test_parts_of_the_source_are_links(self) -> None:
        shared = self.folder / "shared"
        (self.src / "variables").rename(shared)
        (self.src / "variables").symlink_to(shared)
        dst = self.folder / "dst"
        tf_blade.optimize_saved_model(self.src, dst, **OPTIONS)
        self.assertFalse((dst / "variables").is_symlink())
        for name in ("variables.index", "variables.data-00000-of-00001"):
            self.assertEqual((dst / "variables" / name).read_bytes(), (shared / name).read_bytes())

    @parameterized.named_parameters(
        ("pipe", lambda path: os.mkfifo(path), "neither a file nor a folder"),
        ("dangling_link", lambda path: path.symlink_to("nowhere"), "neither a file nor a folder"),
        ("link_to_itself", lambda path: path.symlink_to("."), "folder that it is in"),
    )
    def test_source_holds_what_cannot_be_copied(self, make: Callable[[Path], None], words: str) -> None:
        make(self.src / "strange")
        with self.assertRaisesRegex(errors.InvalidSavedModelError, words):
            tf_blade.optimize_saved_model(self.src, self.folder / "dst", **OPTIONS)
        self.assertEqual({item.name for item in self.folder.iterdir()}, {"src"})

    def test_folders_of_a_read_only_source_can_be_removed_again(self) -> None:
        (self.src / "variables").chmod(0o555)
        self.addCleanup((self.src / "variables").chmod, 0o755)
        tf_blade.optimize_saved_model(self.src, self.folder / "dst", **OPTIONS)
        self.assertEqual((self.folder / "dst" / "variables").stat().st_mode & 0o777, 0o755)

    def test_failing_swap_keeps_the_former_model(self) -> None:
        dst = self.folder / "dst"
        models.dense(dst)
        former = workshop.digest(dst)
        real = Path.rename

        def rename(path: Path, target: Path) -> Path:
            if path.suffix == ".tmp":
                raise OSError(5, "Input/output error")
            return real(path, target)

        with mock.patch.object(files, "_exchange", return_value=False), mock.patch.object(Path, "rename", rename):
            self.refuses(dst, "Input/output error", overwrite=True)
        self.assertEqual(former, workshop.digest(dst))

    def test_written_model_that_differs_is_not_published(self) -> None:
        real = writer.apply_edit

        def damage(*args: Any) -> Any:
            message = saved_model_pb2.SavedModel()
            message.CopyFrom(real(*args))
            del message.meta_graphs[0].signature_def["score"]
            return message

        with mock.patch.object(pipeline, "apply_edit", damage), self.assertRaises(errors.LosslessCheckError):
            tf_blade.optimize_saved_model(self.src, self.folder / "dst", **OPTIONS)
        self.assertEqual({item.name for item in self.folder.iterdir()}, {"src"})

    @parameterized.parameters(*pipeline.LABELS)
    def test_stop_after(self, phase: str) -> None:
        options: dict[str, Any] = {**OPTIONS, "stop_after": phase, "warmup": phase == "bundle"}
        report = tf_blade.optimize_saved_model(self.src, self.folder / "dst", **options)
        expected = pipeline.LABELS[: pipeline.LABELS.index(phase) + 1]
        self.assertEqual(tuple(item.name for item in report.phases), tuple(n for n in expected if n != "verify"))
        if phase != "verify":
            self.assertEqual({item.name for item in self.folder.iterdir()}, {"src"})
            self.assertEqual(report.target, "")

    def test_dump_after(self) -> None:
        dumps = self.folder / "dumps"
        options: dict[str, Any] = {**OPTIONS, "dump_after": ("inline", "rewrite"), "dump_dir": str(dumps)}
        tf_blade.optimize_saved_model(self.src, self.folder / "dst", **options)
        texts = {item.name: item.read_text() for item in dumps.iterdir()}
        self.assertIn("inline.main.txt", texts)
        self.assertTrue(any("BladeEngineOp" in text for name, text in texts.items() if name.startswith("rewrite")))
        self.assertFalse(any("BladeEngineOp" in text for name, text in texts.items() if name.startswith("inline")))


class BuildFailureTest(parameterized.TestCase):
    @parameterized.parameters(("broken", "out of luck"), ("raising", "ZeroDivisionError: out of luck"))
    def test_costs_the_cluster_alone(self, backend: str, reason: str) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.dense(folder / "src")
        options: dict[str, Any] = {"backends": (backend,), "verify": False, "warmup": False, **workshop.EAGER}
        report = tf_blade.optimize_saved_model(folder / "src", folder / "dst", **options)
        self.assertEqual(report.totals.engines, 0)
        self.assertNotEmpty(report.build_failures)
        self.assertEqual({(item.backend, item.reason) for item in report.build_failures}, {(backend, reason)})
        case = models.CASES["dense"]
        expected, found = dict(workshop.results(folder / "src", case)), dict(workshop.results(folder / "dst", case))
        for key, value in expected.items():
            self.assertTrue(workshop.same(value, found[key]), key)

    def test_the_next_backend_is_tried(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.dense(folder / "src")
        options: dict[str, Any] = {
            "backends": ("broken", "no_engine"),
            "verify": False,
            "warmup": False,
            **workshop.EAGER,
        }
        report = tf_blade.optimize_saved_model(folder / "src", folder / "dst", **options)
        self.assertEqual(report.totals.engines, len(report.clusters))
        self.assertEqual({item.backend for item in report.clusters}, {"no_engine"})
        self.assertLen(report.build_failures, len(report.clusters))

    def test_strict_allows_what_no_engine_can_take(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.labels(folder / "src")
        options: dict[str, Any] = {
            "backends": ("no_engine",),
            "verify": False,
            "warmup": False,
            "strict": True,
            **workshop.EAGER,
        }
        self.assertGreater(tf_blade.optimize_saved_model(folder / "src", folder / "dst", **options).totals.engines, 0)

    def test_strict_forbids_refusals_by_rules(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.dense(folder / "src")
        options: dict[str, Any] = {
            "backends": ("no_relu",),
            "verify": False,
            "warmup": False,
            "strict": True,
            **workshop.EAGER,
        }
        with self.assertRaisesRegex(errors.StrictModeError, "no_relu cannot take node .*Relu.*: not today"):
            tf_blade.optimize_saved_model(folder / "src", folder / "dst", **options)

    def test_strict_makes_it_an_error(self) -> None:
        folder = Path(self.create_tempdir().full_path)
        models.dense(folder / "src")
        options: dict[str, Any] = {
            "backends": ("broken",),
            "verify": False,
            "warmup": False,
            "strict": True,
            **workshop.EAGER,
        }
        with self.assertRaisesRegex(errors.StrictModeError, "out of luck"):
            tf_blade.optimize_saved_model(folder / "src", folder / "dst", **options)
        self.assertFalse((folder / "dst").exists())


if __name__ == "__main__":
    absltest.main()
