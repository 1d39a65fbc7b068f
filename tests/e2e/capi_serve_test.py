"""An optimized encoder in a C program: what a server without Python answers is what TensorFlow answers in Python."""

from __future__ import annotations

from pathlib import Path

from absl.testing import absltest

from tests.e2e import c_server, kit
from tf_blade import runtime


class CServerTest(absltest.TestCase):
    def test_encoder(self) -> None:
        target, report = kit.optimized(c_server.MODEL)
        program = c_server.build(Path(self.create_tempdir().full_path))
        requests = c_server.requests()
        served = c_server.serve(program, target, requests, library=runtime.library_path())
        self.assertEqual(served.status, 0, served.error)
        self.assertLessEqual(c_server.largest_error(c_server.expected(requests), served.answers), kit.TOLERANCE)
        clusters = served.stats["clusters"]
        self.assertEqual([item["cluster"] for item in clusters], [item.name for item in report.clusters])
        self.assertEqual([item["engine_runs"] for item in clusters], [len(requests)])
        self.assertEqual([item["fallbacks"] for item in clusters], [{}])


if __name__ == "__main__":
    absltest.main()
