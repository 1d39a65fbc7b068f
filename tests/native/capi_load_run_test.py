"""A C program loads the op library and runs a SavedModel with an engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.folders import class_folder
from tests.native import capi
from tests.runtime import engine_kit as kit
from tf_blade import runtime


class CApiTest(absltest.TestCase):
    program: Path
    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.folder = class_folder(cls)
        cls.program = capi.build_program(cls.folder)

    def save(self, name: str, engine: bytes) -> tuple[kit.Affine, Path, str, str]:
        model = kit.Affine([engine], name)
        path = self.folder / name
        tf.saved_model.save(model, str(path), signatures={"serving_default": model.serve})
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        signature = meta_graph.signature_def["serving_default"]
        return model, path, signature.inputs["x"].name, signature.outputs["y"].name

    def test_engine_serves(self) -> None:
        model, path, x_name, y_name = self.save("good", kit.affine_engine("MARK=100.0f"))
        x = np.random.default_rng(0).standard_normal((4, kit.K)).astype(np.float32)
        y, stats = capi.run_program(self.program, path, x_name, y_name, x)
        np.testing.assert_allclose(y.reshape(4, kit.N), model.expected(x) + 100, rtol=1e-5, atol=1e-5)
        self.assertEqual([item["engine_runs"] for item in stats["clusters"]], [1])

    def test_tensorflow_serves_when_the_engine_is_broken(self) -> None:
        model, path, x_name, y_name = self.save("broken", kit.affine_engine()[:-1])
        x = np.random.default_rng(1).standard_normal((3, kit.K)).astype(np.float32)
        y, stats = capi.run_program(self.program, path, x_name, y_name, x)
        np.testing.assert_allclose(y.reshape(3, kit.N), model.expected(x), rtol=1e-5, atol=1e-5)
        self.assertEqual([item["fallbacks"] for item in stats["clusters"]], [{"corrupt": 1}])

    def test_library_of_another_tensorflow_is_refused_with_a_clear_error(self) -> None:
        _, path, x_name, y_name = self.save("version", kit.affine_engine())
        data = Path(runtime.library_path()).read_bytes()
        version = tf.version.VERSION.encode()
        other = b"1" + version[1:]
        library = self.folder / "libother.so"
        library.write_bytes(data.replace(version, other))
        with self.assertRaises(subprocess.CalledProcessError) as caught:
            capi.run_program(self.program, path, x_name, y_name, np.zeros((1, kit.K), np.float32), str(library))
        self.assertIn(f"built for TensorFlow {other.decode()}", caught.exception.stderr)


if __name__ == "__main__":
    absltest.main()
