load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

# Many of Eigen's headers have no ending.
cc_library(
    name = "headers",
    hdrs = glob(["include/**"]),
    defines = [
        "_GLIBCXX_USE_CXX11_ABI=1",
        "EIGEN_MAX_ALIGN_BYTES=64",
    ],
    includes = ["include"],
)

cc_import(
    name = "framework",
    shared_library = "libtensorflow_framework.so.2",
)

cc_import(
    name = "c_api",
    shared_library = "libtensorflow_cc.so.2",
)

py_runtime(
    name = "python",
    interpreter_path = "%{interpreter}",
    # The stub that Bazel puts before a test; a Debian machine has no `python`.
    stub_shebang = "#!/usr/bin/env python3",
    python_version = "PY3",
)

py_runtime_pair(
    name = "python_pair",
    py3_runtime = ":python",
)

toolchain(
    name = "python_toolchain",
    toolchain = ":python_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
