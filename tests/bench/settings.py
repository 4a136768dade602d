"""Where things are: the cache outside of the tree, and the programs that Bazel has built."""
import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    return os.environ.get("COUNTERSIGN_BENCH_CACHE", f"{base}/countersign/bench")


def bazel():
    return shlex.split(os.environ.get("BAZEL", "bazel"))


def programs_dir():
    """COUNTERSIGN_BIN, or where Bazel leaves what it builds."""
    return os.environ.get("COUNTERSIGN_BIN") or subprocess.run(
        [*bazel(), "info", "bazel-bin"], cwd=ROOT, check=True, text=True, capture_output=True).stdout.strip()


def build(targets):
    """Builds with BAZEL (default: bazel) and returns the folder of the programs."""
    say("building " + " ".join(targets))
    subprocess.run([*bazel(), "build", *targets], cwd=ROOT, check=True, stdout=sys.stderr)
    return programs_dir()
