"""The headers of the TensorRT in $TENSORRT_HOME as a repository, empty where it is not set."""

_WITH = """
cc_library(
    name = "headers",
    hdrs = glob(["include/*.h", "include/impl/*.h"]),
    includes = ["include"],
    visibility = ["//visibility:public"],
)
"""

def _installed_tensorrt_impl(repository):
    home = repository.os.environ.get("TENSORRT_HOME", "")
    repository.file("config.bzl", "WITH_TENSORRT = {}\n".format(bool(home)))
    if not home:
        repository.file("BUILD", "")
        return

    # Archives have the first one, Debian's packages the second one.
    for folder in [home + "/include", home + "/include/x86_64-linux-gnu"]:
        if repository.path(folder + "/NvInferRuntime.h").exists:
            for header in repository.path(folder).readdir():
                if header.basename.startswith("NvInfer") or header.basename == "impl":
                    repository.symlink(header, "include/" + header.basename)
            repository.file("BUILD", _WITH)
            return
    fail("TENSORRT_HOME={} has no include/NvInferRuntime.h.".format(home))

installed_tensorrt = repository_rule(
    implementation = _installed_tensorrt_impl,
    doc = "TensorRT's headers in $TENSORRT_HOME. config.bzl says whether there are any.",
    environ = ["TENSORRT_HOME"],
    local = True,
)
