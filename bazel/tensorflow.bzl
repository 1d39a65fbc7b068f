"""The installed TensorFlow wheel as a repository, with the Python interpreter that imports it."""

_PROBE = """
import importlib.metadata, importlib.util, pathlib, sys
spec = importlib.util.find_spec("tensorflow")
if spec is None:
    sys.exit("no TensorFlow in " + sys.executable)
root = pathlib.Path(spec.origin).parent
for distribution in importlib.metadata.distributions():
    if distribution.metadata["Name"].replace("_", "-") in ("tensorflow", "tensorflow-cpu"):
        if distribution.locate_file("tensorflow") == root:
            print(root, sys.executable, distribution.version, sep="\\n")
            break
"""

def _python(repository):
    chosen = repository.os.environ.get("TF_BLADE_PYTHON")
    if chosen:
        return chosen
    venv = repository.path(Label("//:WORKSPACE")).dirname.get_child(".venv").get_child("bin").get_child("python")
    if venv.exists:
        return str(venv)
    found = repository.which("python3")
    if not found:
        fail("No python3: run tools/setup.sh, or set TF_BLADE_PYTHON.")
    return str(found)

def _installed_tensorflow_impl(repository):
    python = _python(repository)
    probe = repository.execute([python, "-c", _PROBE])
    if probe.return_code != 0:
        fail("{} has no TensorFlow 2.21: run tools/setup.sh, or set TF_BLADE_PYTHON. {}".format(python, probe.stderr))
    package, interpreter, version = probe.stdout.strip().split("\n")
    if not version.startswith("2.21."):
        fail("{} has TensorFlow {}; tf_blade needs 2.21.".format(python, version))
    repository.file("version.bzl", "TF_VERSION = \"{}\"\n".format(version))
    for name in ["include", "libtensorflow_framework.so.2", "libtensorflow_cc.so.2"]:
        repository.symlink(package + "/" + name, name)
    repository.template("BUILD", Label("//bazel:tensorflow.BUILD.tpl"), {"%{interpreter}": interpreter})

installed_tensorflow = repository_rule(
    implementation = _installed_tensorflow_impl,
    doc = "Headers, libraries and Python of the TensorFlow that $TF_BLADE_PYTHON, .venv or python3 imports.",
    environ = ["TF_BLADE_PYTHON", "PATH"],
    local = True,
)
