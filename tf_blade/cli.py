"""The command `tf-blade`: optimize, inspect, verify, bench, sign."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tf_blade import observe, runtime
from tf_blade.errors import TfBladeError
from tf_blade.settings import Settings

EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
# Settings that decide what an optimization would do.
_INSPECT_SETTINGS = ("backends", "signatures", "min_cluster_nodes", "min_cluster_gain_us", "weight_bytes")
Sample = dict[str, np.ndarray]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives the exit status: 0 done, 1 an error (one line on standard error), 2 usage, 130 Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and in models are bytes: what is no text is given on as it came.
        sys.stdout.reconfigure(errors="surrogateescape")
    arguments = make_parser().parse_args(argv)
    # TensorFlow reads it once, when it is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        observe.configure()
        _load_tensorflow()
        return int(arguments.run(arguments))
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is left in Python's buffer must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except (TfBladeError, OSError) as error:
        print(f"tf-blade: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("tf-blade: interrupted; nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tf-blade", description="Makes TensorFlow SavedModels faster.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_optimize(commands)
    _add_inspect(commands)
    _add_verify(commands)
    _add_bench(commands)
    _add_sign(commands)
    return parser


def _add_optimize(commands: Any) -> None:
    parser = commands.add_parser("optimize", help="write an optimized copy of a SavedModel")
    parser.add_argument("src", help="folder of the SavedModel")
    parser.add_argument("dst", help="folder to write; must not exist, unless --overwrite")
    for field in dataclasses.fields(Settings):
        _add_setting(parser, field)
    parser.add_argument("--sample-inputs", metavar="FILE", help="inputs to verify with; see 'verify --inputs'")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_optimize)


def _add_setting(parser: argparse.ArgumentParser, field: dataclasses.Field[Any]) -> None:
    """One flag for one setting, of the same name, with the same default and text."""
    flag, text = f"--{field.name.replace('_', '-')}", field.metadata["help"]
    if isinstance(field.default, bool):
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=text)
    elif isinstance(field.default, (int, float, str)):
        shown = "" if field.default == "" else " (%(default)s)"
        parser.add_argument(flag, type=type(field.default), default=field.default, help=f"{text}{shown}")
    else:
        default: tuple[Any, ...] = field.default or ()  # type: ignore[assignment]
        shown = f" ({','.join(map(str, default))})" if default else ""
        read, metavar = (_numbers, "N,M") if default and isinstance(default[0], int) else (_names, "A,B")
        parser.add_argument(flag, type=read, default=field.default, metavar=metavar, help=f"{text}{shown}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (item.strip() for item in text.split(","))))


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, _names(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers; write N,M") from error


def _natural(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; it must be 0 or more")
    return number


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser("inspect", help="clusters, engines and reasons, of any SavedModel, optimized or not")
    parser.add_argument("path", help="folder of the SavedModel")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    for field in dataclasses.fields(Settings):
        if field.name in _INSPECT_SETTINGS:
            _add_setting(parser, field)
    parser.set_defaults(run=_inspect)


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser("verify", help="compare two SavedModels output by output")
    _add_pair(parser)
    parser.add_argument(
        "--rtol", type=float, default=1e-4, help="tolerance, relative to the largest magnitude (%(default)s)"
    )
    parser.add_argument(
        "--require-engines",
        action="store_true",
        help="fail where engines served no call of a cluster, or none was called",
    )
    parser.set_defaults(run=_verify)


def _add_bench(commands: Any) -> None:
    parser = commands.add_parser("bench", help="time two SavedModels side by side")
    _add_pair(parser)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each signature and size (%(default)s)")
    parser.add_argument("--threads", type=_natural, default=0, help="intra-op threads; TensorFlow's choice when 0")
    parser.add_argument("--callable", action="store_true", help="also call as a server does, through a session")
    parser.set_defaults(run=_bench)


def _add_sign(commands: Any) -> None:
    parser = commands.add_parser("sign", help="sign the engines of an optimized SavedModel")
    parser.add_argument("src", help="folder of the optimized SavedModel")
    parser.add_argument("dst", help="folder to write; must not exist, unless --overwrite")
    parser.add_argument("--key", required=True, metavar="FILE", help="PEM file of an Ed25519 private key")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing target")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=_sign)


def _add_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("src", help="folder of the original SavedModel")
    parser.add_argument("dst", help="folder of the optimized SavedModel")
    parser.add_argument("--signatures", type=_names, default=None, metavar="A,B", help="all when not given")
    parser.add_argument(
        "--inputs", metavar="FILE", help="inputs instead of random ones: an .npz with keys 'signature/input' or 'input'"
    )
    parser.add_argument("--seed", type=_natural, default=0, help="of the random inputs (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def _optimize(arguments: argparse.Namespace) -> int:
    from tf_blade import api
    from tf_blade.progress import progress_bar

    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Settings)}
    samples = _read_inputs(arguments.sample_inputs, arguments.src)
    with progress_bar(enabled=not arguments.quiet) as progress:
        report = api.optimize_saved_model(
            arguments.src, arguments.dst, sample_inputs=samples, progress=progress, **values
        )
    print(report.to_json() if arguments.json else report.to_text())
    return EXIT_OK


def _inspect(arguments: argparse.Namespace) -> int:
    from tf_blade import api

    values = {name: getattr(arguments, name) for name in _INSPECT_SETTINGS}
    inspection = api.inspect_saved_model(arguments.path, **values)
    print(inspection.to_json() if arguments.json else inspection.to_text())
    return EXIT_OK


def _verify(arguments: argparse.Namespace) -> int:
    from tf_blade.verify import verify_saved_model

    result = verify_saved_model(
        arguments.src,
        arguments.dst,
        signatures=arguments.signatures,
        sample_inputs=_read_inputs(arguments.inputs, arguments.src),
        rtol=arguments.rtol,
        seed=arguments.seed,
        require_engines=arguments.require_engines,
    )
    print(result.to_json() if arguments.json else result.to_text())
    return EXIT_OK if result.ok else EXIT_ERROR


def _bench(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    from tf_blade.bench import bench_saved_model

    result = bench_saved_model(
        arguments.src,
        arguments.dst,
        signatures=arguments.signatures,
        sample_inputs=_read_inputs(arguments.inputs, arguments.src),
        seconds=arguments.seconds,
        seed=arguments.seed,
        through_session=arguments.callable,
    )
    print(result.to_json() if arguments.json else result.to_text())
    return EXIT_OK


def _sign(arguments: argparse.Namespace) -> int:
    from tf_blade.saved_model.sign import sign_saved_model

    result = sign_saved_model(arguments.src, arguments.dst, key=arguments.key, overwrite=arguments.overwrite)
    print(result.to_json() if arguments.json else result.to_text())
    return EXIT_OK


def _read_inputs(path: str | None, model: str) -> dict[str, list[Sample]] | None:
    """Sample inputs by signature, from an .npz.

    Raises:
        TfBladeError: the file cannot be read, or fits no signature.
    """
    if path is None:
        return None
    from tf_blade.inputs import read_samples
    from tf_blade.saved_model.model import read_saved_model

    signatures = {name: sorted(signature.inputs) for name, signature in read_saved_model(model).signatures()}
    return read_samples(pathlib.Path(path), signatures)


def _load_tensorflow() -> None:
    """Loads TensorFlow and the op library, quietly."""
    with _filtered_stderr():
        runtime.load()
        import tensorflow as tf
    # Its Python side warns of what is deprecated in its own code.
    tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Keeps what TensorFlow's libraries tell about themselves while they are loaded off standard error; they write it
    past Python, and no setting stops it.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            for line in file.read().decode(errors="replace").splitlines(keepends=True):
                if not line.startswith(("I0000 ", "WARNING: All log messages before absl::InitializeLog()")):
                    sys.stderr.write(line)


if __name__ == "__main__":
    sys.exit(main())
