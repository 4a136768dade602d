"""fuzz_target: one libFuzzer entry point, replayed over its corpus by every test run."""

def fuzz_target(name, srcs, corpus, deps):
    """Declares NAME_replay_test (any compiler) and NAME_fuzz (clang and libFuzzer, manual).

    Each input of the corpus runs through LLVMFuzzerTestOneInput in NAME_replay_test, so that what a
    fuzzer has found once stays found, under whatever sanitizer the tests are built with. The test
    fails when the corpus is empty.

    Args:
      name: of the target; by custom the folder's.
      srcs: .cc files, one of which defines LLVMFuzzerTestOneInput.
      corpus: the corpus's files, as a glob; they must lie in this package's folder `corpus`.
      deps: what srcs need.
    """
    native.cc_library(
        name = name + "_entry",
        testonly = True,
        srcs = srcs,
        alwayslink = True,
        deps = deps,
    )
    native.cc_test(
        name = name + "_replay_test",
        size = "small",
        args = [native.package_name() + "/corpus"],
        data = corpus,
        deps = [":" + name + "_entry", "//tests/fuzz:replay_main"],
    )
    native.cc_binary(
        name = name + "_fuzz",
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = [":" + name + "_entry"],
    )
