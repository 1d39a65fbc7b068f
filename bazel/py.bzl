"""Python tests: one target for each folder of tests, since every process pays for importing TensorFlow."""

_RUNNER = "//bazel:run_tests.py"

def py_test_folders(deps, data = [], library = None, settings = {}, extra = {}):
    """Declares a py_test for each folder below this package that holds *_test.py files.

    Args:
      deps: Python libraries that the tests import.
      data: files that the tests read.
      library: label of the op library; tests find it through TF_BLADE_LIBRARY.
      settings: by folder, attributes of its target (timeout, shard_count, tags, data, env); "" stands for this package itself.
      extra: by name, further targets: `tests` (files of this package), `flags` and `env`.
    """
    folders = {}
    for test in native.glob(["**/*_test.py"]):
        folder = test.rpartition("/")[0].partition("/")[0]
        folders.setdefault(folder, []).append(test)
    for folder, tests in sorted(folders.items()):
        attributes = dict(settings.get(folder, {}))
        attributes.setdefault("timeout", "long")
        env = dict(attributes.pop("env", {}), TF_BLADE_LIBRARY = "$(rootpath {})".format(library))
        native.py_test(
            name = (folder or "package") + "_test",
            srcs = [_RUNNER] + tests,
            main = _RUNNER,
            args = [native.package_name() + "/" + test for test in sorted(tests)],
            data = data + [library] + attributes.pop("data", []),
            env = env,
            legacy_create_init = 0,
            python_version = "PY3",
            deps = deps,
            **attributes
        )
    for name, target in sorted(extra.items()):
        native.py_test(
            name = name,
            srcs = [_RUNNER] + target["tests"],
            main = _RUNNER,
            args = [native.package_name() + "/" + test for test in target["tests"]] + target["flags"],
            data = data + [library],
            env = dict(target["env"], TF_BLADE_LIBRARY = "$(rootpath {})".format(library)),
            legacy_create_init = 0,
            python_version = "PY3",
            timeout = "eternal",
            deps = deps,
        )
