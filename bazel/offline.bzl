"""Repositories that Debian's Bazel would fetch from the network, taken from Debian's packages or stubbed.

Debian's bazel-bootstrap is Bazel 4.2 and names no version. A released Bazel brings or fetches its own of these.
"""

_DEBIAN_RULES = "/usr/share/bazel/rules"

def offline_repositories():
    """Declares the repositories where Bazel is Debian's; elsewhere nothing."""
    if native.bazel_version:
        return

    # Debian's rules_cc is too new for its Bazel; nothing here needs more than the native rules.
    native.local_repository(name = "rules_cc", path = "bazel/third_party/rules_cc")
    native.local_repository(name = "remote_coverage_tools", path = "bazel/third_party/remote_coverage_tools")
    native.local_repository(name = "rules_java", path = _DEBIAN_RULES + "/java")
    native.local_repository(name = "rules_proto", path = _DEBIAN_RULES + "/proto")
    native.local_repository(name = "platforms", path = "/usr/share/bazel/tools/platforms")
