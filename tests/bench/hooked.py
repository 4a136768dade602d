"""A round of a peer with a tracer beside it: what `syscalls` and `profile` share."""
import json
import os
import subprocess
import sys
import time

import settings

HERE = os.path.dirname(os.path.abspath(__file__))
OPERATIONS = {"requests": ("request", 1), "rounds": ("round trip", 1), "conns": ("connection", 1),
              "bytes": ("MB", 1e-6)}


class Run:
    """Measures on construction; the tracer's files are in `out`."""

    def __init__(self, hook, peer, phases):
        self.out = f"{settings.cache_dir()}/{hook}/{time.strftime('%Y%m%d-%H%M%S')}"
        os.makedirs(self.out)
        programs = settings.programs_dir()
        environment = {
            "DUR": "2", "LDUR": "2", "BASE": "23000",
            "BENCH_LOAD": f"{programs}/tests/bench/load/bench-load",
            "BENCH_RELAY": f"{programs}/tests/bench/load/bench-relay",
            **os.environ,
            "COUNTERSIGN_BIN": programs, "ONLY": ",".join(phases), "HOOK_OUT": self.out,
            "PHASE_HOOK": f"{HERE}/hooks/{hook}"}
        done = subprocess.run([sys.executable, f"{HERE}/measure.py", peer], env=environment,
                              stdout=subprocess.PIPE, check=True, text=True)
        self.result = json.loads(done.stdout)
        if "fatal" in self.result:
            sys.exit(self.result["fatal"])

    def operations(self, phase):
        """How many of what the phase did: (12345, "request")."""
        figures = self.result.get(phase, {})
        for key, (unit, scale) in OPERATIONS.items():
            if figures.get(key):
                return figures[key] * scale, unit
        sys.exit(f"{phase} did nothing: {figures.get('error', 'the peer cannot do it')}")
