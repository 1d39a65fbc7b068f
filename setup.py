"""Builds the op library and ships the kernel templates; everything else about the package is in pyproject.toml.

The library is compiled against the TensorFlow of the environment that it is built for. `TF_BLADE_CXX` (else `CXX`, else
`c++`) names the compiler, `TF_BLADE_BUILD_JOBS` the number of compilations at once (default: one a processor).
`TENSORRT_HOME`, if set, names an installation of TensorRT whose headers the runtime of its plans is built with.
`python setup.py build_ext --inplace` builds into the checkout; only what changed is compiled again.
"""

from __future__ import annotations

import ast
import concurrent.futures
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
LIBRARY = Path("tf_blade/lib/libtf_blade.so")
TEMPLATES = Path("tf_blade/backends/disc/codegen/include")
_PROBE = """
import importlib.metadata as m, importlib.util as u, pathlib
spec = u.find_spec("tensorflow")
if spec is not None and spec.origin is not None:
    names = m.packages_distributions().get("tensorflow", [])
    print(pathlib.Path(spec.origin).parent)
    print(next((m.version(name) for name in names), ""))
"""


def bazel_literals(path: Path) -> dict[str, Any]:
    """What a .bzl file of plain literals defines."""
    lists: dict[str, Any] = {}
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            lists[statement.targets[0].id] = ast.literal_eval(statement.value)
    return lists


def find_tensorflow() -> tuple[Path, str]:
    """The installed TensorFlow's folder and version: the target environment's, else the build environment's."""
    # `-I` looks past the variables by which pip's build isolation hides the target's packages.
    for command in ([sys.executable, "-I", "-c", _PROBE], [sys.executable, "-c", _PROBE]):
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
        if len(lines) >= 2 and lines[1]:
            return Path(lines[0]), lines[1]
    raise SystemExit("tf_blade is built against TensorFlow: install tensorflow==2.21.* or tensorflow-cpu==2.21.* first")


def tensorrt_includes(stand_in: str) -> list[str]:
    """The folders of headers that TensorRT's runtime is built with; none where it is not to be built."""
    home = os.environ.get("TENSORRT_HOME", "")
    if not home:
        return []
    # Archives have the first one, Debian's packages the second one.
    folders = [Path(home, "include"), Path(home, "include/x86_64-linux-gnu")]
    for folder in folders:
        if (folder / "NvInferRuntime.h").exists():
            return [str(folder), str(ROOT / "custom_ops" / stand_in)]
    raise SystemExit(f"TENSORRT_HOME={home}: there is no NvInferRuntime.h in {' or '.join(map(str, folders))}")


def compiler() -> list[str]:
    return shlex.split(os.environ.get("TF_BLADE_CXX") or os.environ.get("CXX") or "c++")


def build_jobs() -> int:
    """How many compilations run at once."""
    text = os.environ.get("TF_BLADE_BUILD_JOBS", "")
    if text and not (text.isdecimal() and int(text) > 0):
        raise SystemExit(f"TF_BLADE_BUILD_JOBS={text!r} is no number of compilations")
    return int(text or os.cpu_count() or 1)


def run(command: list[str]) -> None:
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{shlex.join(command)}\n{result.stdout}{result.stderr}")
    if result.stderr:
        print(result.stderr, file=sys.stderr)


def newer(target: Path, sources: list[Path]) -> bool:
    """Whether the target exists and is newer than all of the sources."""
    if not target.exists():
        return False
    built = target.stat().st_mtime_ns
    return all(source.exists() and source.stat().st_mtime_ns < built for source in sources)


def dependencies(depfile: Path) -> list[Path]:
    """The files named in a compiler's dependency file, which spans lines with backslashes."""
    if not depfile.exists():
        return [depfile]
    text = depfile.read_text().replace("\\\n", " ")
    return [ROOT / name for name in text.split(":", 1)[1].split()]


class OpLibrary:
    """The compilation of libtf_blade.so into a folder of objects."""

    def __init__(self, objects: Path) -> None:
        lists = bazel_literals(ROOT / "custom_ops/sources.bzl")
        self.sources = [f"custom_ops/{source}" for source in lists["SOURCES"] + lists["INSTALLED_SOURCES"]]
        self.tensorflow, version = find_tensorflow()
        include = str(self.tensorflow / "include")
        defines = [f'-DTF_BLADE_TF_VERSION="{version}"']
        copts = lists["COPTS"] + lists["INSTALLED_COPTS"]
        self.flags = [*copts, "-fPIC", *defines, f"-I{ROOT}", "-isystem", include]
        includes = [flag for folder in tensorrt_includes(lists["TENSORRT_STAND_IN"]) for flag in ("-isystem", folder)]
        # What each source is compiled with beside the flags.
        self.includes = {f"custom_ops/{source}": includes for source in lists["TENSORRT_SOURCES"] if includes}
        self.sources += self.includes
        self.objects = objects

    def folder_of(self, source: str) -> Path:
        """Objects of other flags (another TensorFlow, another compiler, another TensorRT) must not be mixed in."""
        words = [*compiler(), *self.flags, *self.includes.get(source, [])]
        return self.objects / f"libtf_blade-{hashlib.sha256(chr(0).join(words).encode()).hexdigest()[:12]}"

    def object_of(self, source: str) -> Path:
        return self.folder_of(source) / (source.replace("/", "-") + ".o")

    def compile(self, source: str) -> None:
        target = self.object_of(source)
        depfile = target.with_suffix(".d")
        if newer(target, dependencies(depfile)):
            return
        print(f"compiling {source}", flush=True)
        partial = target.with_suffix(".tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = [*self.flags, *self.includes.get(source, [])]
        run([*compiler(), *flags, "-MMD", "-MF", str(depfile), "-c", source, "-o", str(partial)])
        partial.replace(target)

    def build(self, library: Path) -> None:
        """Brings the library up to date; it is replaced in one step."""
        with concurrent.futures.ThreadPoolExecutor(build_jobs()) as pool:
            list(pool.map(self.compile, self.sources))
        objects = [self.object_of(source) for source in self.sources]
        # Where the last link was of other objects, older ones than the library are news.
        linked = self.objects / f"{library.name}.objects"
        names = "\n".join(map(str, [library, *objects]))
        if newer(library, objects) and linked.exists() and linked.read_text() == names:
            return
        print(f"linking {library}", flush=True)
        library.parent.mkdir(parents=True, exist_ok=True)
        partial = library.with_name(f".{library.name}.{os.getpid()}")
        link = ["-shared", "-Wl,-z,defs", "-Wl,--as-needed", "-Wl,--build-id=none"]
        libraries = [f"-L{self.tensorflow}", "-l:libtensorflow_framework.so.2", "-ldl", "-lpthread"]
        run([*compiler(), *link, *map(str, objects), *libraries, "-o", str(partial)])
        partial.replace(library)
        linked.write_text(names)


def copy_templates(target: Path) -> None:
    """Copies the headers that compiled clusters include, with their paths."""
    for header in [ROOT / "custom_ops/disc/ral.h", *sorted((ROOT / "custom_ops/disc/cpu").glob("*.h"))]:
        copy = target / header.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(header, copy)


class BuildOpLibrary(build_ext):
    """Replaces setuptools' own compilation; in-place builds find the templates in the checkout."""

    def run(self) -> None:
        target = ROOT if self.inplace else Path(self.build_lib).resolve()
        OpLibrary(ROOT / "build").build(target / LIBRARY)
        if not self.inplace:
            copy_templates(target / TEMPLATES)

    def get_outputs(self) -> list[str]:
        base = Path(self.build_lib)
        return [str(base / LIBRARY), *map(str, sorted((base / TEMPLATES).rglob("*.h")))]


if __name__ == "__main__":
    setup(ext_modules=[Extension("tf_blade.lib.libtf_blade", sources=[])], cmdclass={"build_ext": BuildOpLibrary})
