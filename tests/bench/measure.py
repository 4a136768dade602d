#!/usr/bin/env python3
"""measure.py PEER: one round of one pair. Prints one line of JSON; tells on stderr what it is doing.

Starts the backends and the pair (peers/PEER/start.sh), runs every phase that the pair can do, and ends
what it started. README.md says what the phases are and lists the environment variables.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import processes
from settings import cache_dir, programs_dir, say

HERE = os.path.dirname(os.path.abspath(__file__))


def knob(name, default):
    return os.environ.get(name, default)


HTTP_SECONDS = float(knob("DUR", "4"))
TCP_SECONDS = float(knob("LDUR", "2.5"))
RATE = knob("RATE", "2000")
CONNECTIONS = knob("CONNS", "64")
IDLE_CONNECTIONS = knob("IDLE", "1000")
PROXY_CPUS = knob("PIN_PROXY", "1")
LOAD_CPUS = knob("PIN_LOAD", "0")
BASE = int(knob("BASE", "21000"))
ONLY = [name for name in knob("ONLY", "").split(",") if name]
QUIET_CPUS = float(knob("QUIET", "0.5"))
CERTS = knob("CERTS", f"{cache_dir()}/certs")
LOAD = knob("BENCH_LOAD", f"{programs_dir()}/tests/bench/load/bench-load")
HOOK = knob("PHASE_HOOK", "")

BACKEND = BASE + 900
BACKEND_H2 = BASE + 901


def pinned(cpus):
    return ["taskset", "-c", cpus] if cpus else []


def load(*args, seconds=90):
    command = pinned(LOAD_CPUS) + [LOAD, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"bench-load {' '.join(map(str, args))}: {done.stderr[-300:]}")
    return json.loads(done.stdout)


def h2load(host, port, path="/bench"):
    """HTTP/2 end to end (the shape of gRPC, without trailers)."""
    command = pinned(LOAD_CPUS) + [
        "h2load", "-t1", "-c", "8", "-m", "8", "-D", str(max(1, int(HTTP_SECONDS))),
        f"http://{host}:{port}{path}"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False).stdout
    requests = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    status = re.search(r"status codes: (\d+) 2xx", text)
    finished = re.search(r"finished in ([\d.]+)(m?s)", text)
    mean = re.search(r"time for request:\s+(\S+)\s+(\S+)\s+(\S+)", text)
    if not (requests and status and finished):
        raise RuntimeError(f"h2load: {text[-300:]}")
    seconds = float(finished[1]) * (1e-3 if finished[2] == "ms" else 1)
    count = int(status[1])
    return {"requests": count, "rps": count / seconds, "failed": int(requests[2]),
            "mean": mean[3] if mean else None}


class Quiet:
    """Waits until the neighbours leave the machine alone; QWAIT seconds in a round at most."""

    def __init__(self):
        self._left = float(knob("QWAIT", "0"))

    def wait(self):
        while self._left > 0:
            before, started = processes.machine_seconds(), time.time()
            time.sleep(.5)
            took = time.time() - started
            self._left -= took
            if (processes.machine_seconds()["busy"] - before["busy"]) / took < QUIET_CPUS:
                return


class Backends:
    """The applications behind the pair: bench-load's own, and an HTTP/2 nginx."""

    def __init__(self, work):
        self._work = work
        self._processes = []

    def start(self):
        # BE_HOSTS: further loopback addresses for a peer that wants the application elsewhere.
        for i, host in enumerate(knob("BE_HOSTS", "127.0.0.1").split(",")):
            self._spawn([LOAD, "server", str(BACKEND), host], f"backend{i}.log")
        os.makedirs(f"{self._work}/backend_h2")
        for name, size in (("1k", 1024), ("64k", 65536)):
            with open(f"{self._work}/backend_h2/{name}", "wb") as file:
                file.write(b"h" * size)
        with open(f"{self._work}/backend_h2.conf", "w", encoding="ascii") as file:
            file.write(self._nginx_config())
        self._spawn(["nginx", "-p", self._work, "-c", f"{self._work}/backend_h2.conf"],
                    "backend_h2.log")

    def _spawn(self, command, log):
        with open(f"{self._work}/{log}", "w", encoding="ascii") as out:
            self._processes.append(subprocess.Popen(
                pinned(LOAD_CPUS) + command, stdout=out, stderr=subprocess.STDOUT))

    def _nginx_config(self):
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = " ".join(f"{kind}_temp_path {self._work}/backend_{kind};" for kind in kinds)
        body = '{"ok":true,"data":"' + "0123456789" * 9 + '012"}\\n'
        return f"""
daemon off; master_process off; worker_processes 1;
pid {self._work}/backend_h2.pid; error_log {self._work}/backend_h2.err;
events {{ worker_connections 8000; }}
http {{
  access_log off; open_file_cache max=10; root {self._work}/backend_h2; keepalive_requests 1000000000; keepalive_timeout 300s; {folders}
  server {{
    listen 127.0.0.1:{BACKEND_H2} http2 backlog=4096; http2_max_concurrent_streams 1024;
    location / {{ default_type application/json; return 200 '{body}'; }}
    location = /1k {{ }}
    location = /64k {{ }}
  }}
}}
"""

    def cpu_seconds(self):
        return sum(processes.cpu_seconds([p.pid for p in self._processes]))

    def stop(self):
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


class Pair:
    """The two sidecars under measure, as peers/NAME/start.sh has started them."""

    def __init__(self, name, work):
        self._name = name
        self._work = work
        self.ports = {}
        self.note = ""
        self.host = "127.0.0.1"

    def start(self):
        environment = dict(
            os.environ, CERTS=CERTS, WORK=self._work, BASE=str(BASE), BACKEND=str(BACKEND),
            BACKEND_H2=str(BACKEND_H2), PINP=" ".join(pinned(PROXY_CPUS)))
        with open(f"{self._work}/pids", "w", encoding="ascii"):
            pass
        subprocess.run(["bash", f"{HERE}/peers/{self._name}/start.sh"], env=environment, check=True,
                       stdout=sys.stderr)
        with open(f"{self._work}/caps.json", encoding="utf-8") as file:
            self.ports = json.load(file)
        self.note = self.ports.pop("note", "")
        self.host = self.ports.pop("host", self.host)
        for kind, port in self.ports.items():
            self._wait_for_port(kind, port)
        self._wait_for_echo()

    def _wait_for_port(self, kind, port):
        deadline = time.time() + 15
        while time.time() < deadline:
            try:
                socket.create_connection((self.host, port), 1).close()
                return
            except OSError:
                time.sleep(.1)
        raise RuntimeError(f"port {kind}={port} does not accept connections")

    def _wait_for_echo(self):
        deadline = time.time() + 20
        while time.time() < deadline:
            try:
                if "l4" in self.ports:
                    if load("idle", self.host, self.ports["l4"], 1)["ready"] == 1:
                        return
                elif load("http", self.host, self.ports["http"], 1, 0, .2)["requests"] > 0:
                    return
            except (RuntimeError, subprocess.TimeoutExpired):
                pass
            time.sleep(.5)
        raise RuntimeError("the pair does not carry a byte from end to end")

    def pids(self):
        """{"A": [pid, ...], "B": [...]}"""
        sides = {}
        with open(f"{self._work}/pids", encoding="ascii") as file:
            for line in file:
                side, pid = line.split()
                sides.setdefault(side, []).append(int(pid))
        return sides

    def _helper_pids(self):
        try:
            with open(f"{self._work}/pids.aux", encoding="ascii") as file:
                return [int(line.split()[1]) for line in file]
        except OSError:
            return []

    def memory(self):
        return {side: processes.memory_kib(pids) for side, pids in self.pids().items()}

    def cpu(self):
        return {side: processes.cpu_seconds(pids) for side, pids in self.pids().items()}

    def stop(self):
        sides = [pid for pids in self.pids().values() for pid in pids]
        _signal(sides, signal.SIGTERM)
        time.sleep(.5)
        _signal(sides + self._helper_pids(), signal.SIGKILL)


def _signal(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


class Round:
    """One round: the result grows with each phase, and a failed phase does not end it."""

    def __init__(self, peer, work):
        self._backends = Backends(work)
        self._pair = Pair(peer, work)
        self._quiet = Quiet()
        self.result = {"peer": peer, "t": int(time.time())}

    def run(self):
        try:
            self._backends.start()
            self._pair.start()
            self.result["note"] = self._pair.note
            time.sleep(1)
            self.result["mem_start"] = self._pair.memory()
            self._run_phases()
            time.sleep(1)
            self.result["mem_end"] = self._pair.memory()
        except Exception as error:  # whatever it was belongs into the result
            self.result["fatal"] = str(error)[:500]
            say(f"{self.result['peer']}: {error}")
        finally:
            self._pair.stop()
            self._backends.stop()

    def _run_phases(self):
        host, ports = self._pair.host, self._pair.ports
        http, tcp = ports.get("http"), ports.get("l4")
        if tcp and self._wanted("idle"):
            self._idle(host, tcp)
        if http and self._wanted("http"):
            load("http", host, http, CONNECTIONS, 0, .5)  # warms the pools
        self._phase("http", http, "requests", 1e6,
                    lambda: load("http", host, http, CONNECTIONS, 0, HTTP_SECONDS))
        for size in ("1k", "64k"):
            self._phase(f"http_{size}", http, "requests", 1e6, lambda s=size: load(
                "http", host, http, CONNECTIONS, 0, HTTP_SECONDS, f"/{s}"))
        self._phase("http_rate", http, "requests", 1e6,
                    lambda: load("http", host, http, CONNECTIONS, RATE, HTTP_SECONDS))
        alternative = ports.get("http_alt")
        self._phase("http_alt", alternative, "requests", 1e6,
                    lambda: load("http", host, alternative, CONNECTIONS, 0, HTTP_SECONDS))
        self._phase("h2", ports.get("h2"), "requests", 1e6, lambda: h2load(host, ports["h2"]))
        for size in ("1k", "64k"):
            self._phase(f"h2_{size}", ports.get("h2"), "requests", 1e6,
                        lambda s=size: h2load(host, ports["h2"], f"/{s}"))
        for name, connections, direction, mib in (
                ("bulk1", 1, "U", 64), ("bulk16", 16, "U", 8), ("bulk1d", 1, "D", 64)):
            self._phase(name, tcp, "bytes", 1e9, lambda c=connections, d=direction, m=mib: load(
                "bulk", host, tcp, c, TCP_SECONDS, d, m))
        self._phase("pp", tcp, "rounds", 1e6,
                    lambda: load("pp", host, tcp, 16, 128, TCP_SECONDS))
        self._phase("cps", tcp, "conns", 1e3, lambda: load("cps", host, tcp, 8, TCP_SECONDS))
        resumed = ports.get("l4r")
        self._phase("cps_resume", resumed, "conns", 1e3,
                    lambda: load("cps", host, resumed, 8, TCP_SECONDS))

    @staticmethod
    def _wanted(name):
        return not ONLY or name in ONLY

    def _phase(self, name, port, operations, unit, run):
        if not port or not self._wanted(name):
            return
        self._quiet.wait()
        say(f"{self.result['peer']}: {name}")
        hook = self._start_hook(name)
        try:
            pair, backend = self._pair.cpu(), self._backends.cpu_seconds()
            machine = processes.machine_seconds()
            figures = run()
            pair_after, backend_after = self._pair.cpu(), self._backends.cpu_seconds()
            machine_after = processes.machine_seconds()
        except Exception as error:  # a phase that fails is a result too
            self.result[name] = {"error": str(error)[:400]}
            say(f"{self.result['peer']}: {name}: {error}")
            return
        finally:
            if hook:
                hook.send_signal(signal.SIGINT)
                hook.wait()
        used = {side: [round(after - before, 3) for before, after in zip(pair[side], pair_after[side])]
                for side in pair}
        total = sum(sum(seconds) for seconds in used.values())
        backend_used = backend_after - backend
        others = (machine_after["busy"] - machine["busy"] - total - backend_used -
                  figures.get("load_cpu_s", 0))
        figures |= {
            "cpu": used,
            "cpu_pair_s": round(total, 3),
            "be_cpu_s": round(backend_used, 3),
            "other_cpu_s": round(others, 2),
            "steal_s": round(machine_after["steal"] - machine["steal"], 2),
        }
        if figures.get(operations):
            figures["cpu_per"] = total / figures[operations] * unit
        self.result[name] = figures

    def _start_hook(self, phase):
        """PHASE_HOOK PHASE A-pids B-pids runs beside the phase, until SIGINT: hooks/ has two."""
        if not HOOK:
            return None
        pids = self._pair.pids()
        sides = [",".join(map(str, pids.get(side, []))) for side in ("A", "B")]
        hook = subprocess.Popen([HOOK, phase, *sides], stdout=sys.stderr)
        time.sleep(1)  # until it has attached itself
        return hook

    def _idle(self, host, port):
        say(f"{self.result['peer']}: idle")
        load("idle", host, port, 20)
        time.sleep(.5)
        before = self._pair.memory()
        holder = subprocess.Popen(
            pinned(LOAD_CPUS) + [LOAD, "idle", host, str(port), IDLE_CONNECTIONS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = json.loads(holder.stdout.readline())["ready"]
        time.sleep(1)
        during = self._pair.memory()
        holder.stdin.close()
        holder.wait(10)
        time.sleep(1)
        per_connection = {
            side: round((during[side]["VmRSS"] - before[side]["VmRSS"]) / max(ready, 1), 2)
            for side in before}
        self.result["idle"] = {"n": ready, "before": before, "open": during,
                               "closed": self._pair.memory(), "kib_per_conn": per_connection}


def main():
    if len(sys.argv) != 2 or not os.path.exists(f"{HERE}/peers/{sys.argv[1]}/start.sh"):
        sys.exit("usage: measure.py PEER, where PEER is one of: " +
                 " ".join(sorted(os.listdir(f"{HERE}/peers"))))
    if not os.path.exists(LOAD):
        sys.exit(f"{LOAD} is not built: tests/bench/run builds it, or set COUNTERSIGN_BIN")
    peer = sys.argv[1]
    work = f"{cache_dir()}/scratch/{BASE}/{peer}"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    this_round = Round(peer, work)
    this_round.run()
    print(json.dumps(this_round.result), flush=True)


main()
