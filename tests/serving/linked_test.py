"""The op linked into a program: engines run there though nothing is loaded, and other workspaces can build it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import tensorflow as tf
from absl.testing import absltest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e import c_server, kit
from tests.runtime import native
from tf_blade import runtime, sign_saved_model
from tf_blade.engines.signing import public_bytes

# Bazel builds it; pytest has none.
_PROGRAM = os.environ.get("TF_BLADE_LINKED_SERVER", "")
_ROOT = Path(__file__).resolve().parents[2]


@unittest.skipUnless(_PROGRAM, "Bazel builds the program: bazel test //tests:serving_test")
class LinkedServerTest(absltest.TestCase):
    def test_engines_run(self) -> None:
        target, report = kit.optimized(c_server.MODEL)
        requests = c_server.requests()
        served = c_server.serve(Path(_PROGRAM).absolute(), target, requests)
        self.assertEqual(served.status, 0, served.error)
        self.assertLessEqual(c_server.largest_error(c_server.expected(requests), served.answers), kit.TOLERANCE)
        clusters = served.stats["clusters"]
        self.assertEqual([item["cluster"] for item in clusters], [item.name for item in report.clusters])
        self.assertEqual([(item["engine_runs"], item["fallbacks"]) for item in clusters], [(len(requests), {})])

    def test_without_the_op_the_model_is_refused(self) -> None:
        target, _ = kit.optimized(c_server.MODEL)
        program = c_server.build(Path(self.create_tempdir().full_path))
        served = c_server.serve(program, target, c_server.requests())
        self.assertEqual(served.status, 1)
        self.assertIn("Op type not registered 'BladeEngineOp'", served.error)

    def test_loading_the_library_beside_it_is_refused(self) -> None:
        target, _ = kit.optimized(c_server.MODEL)
        served = c_server.serve(Path(_PROGRAM).absolute(), target, c_server.requests(), library=runtime.library_path())
        self.assertEqual(served.status, 1)
        self.assertIn("BladeEngineOp is registered already: it is linked into this program", served.error)

    def test_signed_engines_run_where_keys_are_required(self) -> None:
        unsigned, _ = kit.optimized(c_server.MODEL)
        folder = Path(self.create_tempdir().full_path)
        key = Ed25519PrivateKey.generate()
        pem, form, bare = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / "key.pem").write_bytes(key.private_bytes(pem, form, bare))
        sign_saved_model(unsigned, folder / "signed", key=folder / "key.pem")
        requests = c_server.requests()[:2]
        outcomes = []
        with mock.patch.dict(os.environ, {"TF_BLADE_TRUSTED_KEYS": public_bytes(key).hex()}):
            for model in (folder / "signed", unsigned):
                served = c_server.serve(Path(_PROGRAM).absolute(), model, requests)
                self.assertEqual(served.status, 0, served.error)
                self.assertLessEqual(c_server.largest_error(c_server.expected(requests), served.answers), kit.TOLERANCE)
                outcomes += [(item["engine_runs"], item["fallbacks"]) for item in served.stats["clusters"]]
        self.assertEqual(outcomes, [(2, {}), (0, {"untrusted": 2})])


class LinkedVerifierTest(absltest.TestCase):
    def test_the_verifier_is_taken_out_of_an_archive(self) -> None:
        """As in a server that is linked statically: what nothing asks for is left out of the program."""
        folder = Path(self.create_tempdir().full_path)
        compile_ = [*native.compiler(), "-std=c++17", "-O1", f"-I{_ROOT}", "-isystem", tf.sysconfig.get_include(), "-c"]
        runtime_sources = [_ROOT / "custom_ops/runtime/ed25519.cc", _ROOT / "custom_ops/engine_op/built_for_linked.cc"]
        here = _ROOT / "tests/serving"
        for source in (here / "verifier_archive.cc", here / "verifier_main.cc", *runtime_sources):
            subprocess.run([*compile_, source, "-o", folder / f"{source.stem}.o"], check=True)
        subprocess.run(["ar", "rcs", "libcrypto.a", "verifier_archive.o"], cwd=folder, check=True)
        objects = ["verifier_main.o", "ed25519.o", "built_for_linked.o", "libcrypto.a"]
        subprocess.run([*native.compiler(), *objects, "-o", "program"], cwd=folder, check=True)
        self.assertEqual(subprocess.run([folder / "program"], check=False).returncode, 0)


class ForeignWorkspaceTest(absltest.TestCase):
    def analyze(self, *targets: str) -> tuple[int, str]:
        """Analyzes targets in a workspace with TensorFlow Serving's names; gives status and messages."""
        bazel = shutil.which("bazelisk") or shutil.which("bazel")
        if bazel is None:
            self.skipTest("there is no Bazel")
        folder = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="tf_blade_bazel_")))
        shutil.copytree(_ROOT / "tests/serving/workspace", folder / "a/b/workspace")
        # Its repositories stand beside it, as in the checkout.
        (folder / "bazel").symlink_to(_ROOT / "bazel")
        command = [bazel, f"--output_user_root={folder / 'output'}", "--max_idle_secs=5", "build", "--nobuild"]
        command += [f"--override_repository=tf_blade={_ROOT}", "--check_visibility=false", *_debian_repositories()]
        done = subprocess.run(
            [*command, *targets],
            cwd=folder / "a/b/workspace",
            capture_output=True,
            text=True,
            check=False,
        )
        subprocess.run([*command[:2], "shutdown"], cwd=folder / "a/b/workspace", check=False, capture_output=True)
        return done.returncode, done.stderr

    def test_model_servers(self) -> None:
        edited = "//tensorflow_serving/model_servers:edited_model_server"
        status, messages = self.analyze("@tf_blade//serving:tensorflow_model_server", edited)
        self.assertEqual(status, 0, messages)


def _debian_repositories() -> list[str]:
    """Debian's Bazel fetches nothing: what it needs for C++ comes from its packages (bazel/offline.bzl)."""
    if not Path("/usr/share/bazel/rules").is_dir():
        return []
    return [
        f"--override_repository=rules_cc={_ROOT / 'bazel/third_party/rules_cc'}",
        f"--override_repository=remote_coverage_tools={_ROOT / 'bazel/third_party/remote_coverage_tools'}",
        "--override_repository=rules_java=/usr/share/bazel/rules/java",
        "--override_repository=rules_proto=/usr/share/bazel/rules/proto",
        "--override_repository=platforms=/usr/share/bazel/tools/platforms",
    ]


if __name__ == "__main__":
    absltest.main()
