#!/usr/bin/env python3
"""What the size of the mesh costs: a sidecar that talks to five Services, in meshes of 10, 1,000 and 10,000.

A Service is five YAML documents: itself, two workloads, a route and a policy.

    tests/integration/config_growth.py --programs "$(bazel info bazel-bin)"

Both programs on loopback. Reported are the sidecar's memory (VmRSS, RssAnon) after it has resolved its five destinations,
how long that took, the control plane's memory, how long it takes to start, at first and once more, how long one changed line
takes from the file to the sidecar, and what CPU that costs the control plane. Exits with 1 if the sidecar grows by more than
1 MiB, or if a changed line takes a second.
"""

import argparse
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ALLOWED_GROWTH_KIB = 1024
ALLOWED_CHANGE_SECONDS = 1
DESTINATIONS = 5
SIZES = (10, 1000, 10000)


def octets(i):
    return f"{i // 65536}.{i // 256 % 256}.{i % 256}"


def resources(i):
    """A Service with two workloads, a route and a policy."""
    text = ""
    for j in (1, 2):
        text += (
            "---\napiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
            f"metadata: {{name: w{i}-{j}, labels: {{app: a{i}}}}}\n"
            f"spec: {{addresses: [1{j}.{octets(i)}], ports: [{{name: http, port: 8080}}]}}\n"
        )
    return text + (
        f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{i}}}\nspec:\n  selector: {{app: a{i}}}\n"
        f"  clusterIP: 10.{octets(i)}\n  ports: [{{name: http, port: 80, targetPort: http}}]\n"
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n"
        f"metadata: {{name: r{i}}}\nspec:\n  parentRefs: [{{kind: Service, name: s{i}}}]\n"
        f"  rules: [{{backendRefs: [{{name: s{i}, port: 80}}]}}]\n"
        "---\napiVersion: countersign.dev/v1alpha1\nkind: TrafficPolicy\n"
        f"metadata: {{name: p{i}}}\nspec: {{targetRef: {{name: s{i}}}, timeout: 5s}}\n"
    )


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def memory_kib(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in ("VmRSS", "RssAnon"):
            fields[key] = int(value.split()[0])
    return fields


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(condition, patience, what):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not happen within {patience} s")
        time.sleep(0.02)


def get(port, path):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
            return answer.decode(errors="replace")
    except OSError:
        return ""


def metric(page, name):
    for line in page.splitlines():
        if line.startswith(name) and not line.startswith("#"):
            return float(line.split()[-1])
    return 0.0


def measure(size, programs, scratch):
    config = scratch / "config"
    config.mkdir()
    state = scratch / "state"
    state.mkdir(mode=0o700)
    (config / "self.yaml").write_text(
        "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: self, namespace: x}\n"
        "spec: {addresses: [127.0.0.1], serviceAccount: self}\n"
    )
    for begin in range(0, size, 100):
        text = "".join(resources(i) for i in range(begin, min(begin + 100, size)))
        (config / f"services-{begin}.yaml").write_text(text)
    control_port, admin = free_port(), free_port()
    log = (scratch / "log").open("wb")
    control_program = str(programs / "control/main/countersign-control")

    def start_control(output):
        """Starts it and waits until it serves: the process, and how long that took."""
        started = time.monotonic()
        with output.open("wb") as file:
            process = subprocess.Popen(
                [control_program, "--config-dir", config, "--state-dir", state, "--listen",
                 f"127.0.0.1:{control_port}", "--metrics-listen", "127.0.0.1:0"], stdout=file, stderr=file)
        try:
            until(lambda: b"serving identities" in output.read_bytes(), 120, "the control plane's start")
        except BaseException:
            process.kill()
            raise
        return process, time.monotonic() - started

    control, start = start_control(scratch / "control-1.log")
    control.terminate()
    control.wait()
    control, restart = start_control(scratch / "control-2.log")
    proxy = None
    try:
        token = subprocess.run(
            [control_program, "token", "create", "--state-dir", state, "--spiffe-id",
             "spiffe://cluster.local/ns/x/sa/self"], check=True, capture_output=True, timeout=30).stdout
        (scratch / "token").write_bytes(token)
        forwards = [(free_port(), f"10.{octets(i)}:80") for i in range(DESTINATIONS)]
        arguments = [
            str(programs / "proxy/main/countersign-proxy"), "--control", f"127.0.0.1:{control_port}", "--trust-bundle",
            state / "bundle.pem", "--join-token-file", scratch / "token", "--workload", "self", "--namespace", "x",
            "--admin", f"127.0.0.1:{admin}", "--metrics-listen", "off", "--ready-listen", "off", "--outbound-listen",
            "off", "--inbound-listen", "off", "--hbone-listen", "off"]
        for port, destination in forwards:
            arguments += ["--forward", f"127.0.0.1:{port}={destination}"]
        proxy = subprocess.Popen(arguments, stdout=log, stderr=log)
        until(lambda: "HTTP/1.1 200" in get(admin, "/ready"), 60, "the proxy's readiness")
        begin = time.monotonic()
        callers = []
        for port, _ in forwards:
            caller = socket.create_connection(("127.0.0.1", port), timeout=5)
            caller.sendall(b"GET / HTTP/1.1\r\nHost: s\r\n\r\n")
            callers.append(caller)
        name = "countersign_xds_subscriptions"
        until(lambda: metric(get(admin, "/metrics"), name) >= DESTINATIONS, 30, "resolution")
        resolved = time.monotonic() - begin
        time.sleep(3)
        cpu = cpu_seconds(control.pid)
        begin = time.monotonic()
        changed_file = config / "services-0.yaml"
        changed_file.write_text(changed_file.read_text().replace("[11.0.0.0]", "[13.0.0.0]"))
        until(lambda: "13.0.0.0:8080" in get(admin, "/config_dump"), 30, "the change")
        changed = time.monotonic() - begin
        time.sleep(1)
        change_cpu = cpu_seconds(control.pid) - cpu
        for caller in callers:
            caller.close()
        time.sleep(1)
        return {
            "proxy": memory_kib(proxy.pid), "cpu": cpu_seconds(proxy.pid), "resolved": resolved,
            "control": memory_kib(control.pid), "start": start, "restart": restart, "changed": changed,
            "change_cpu": change_cpu}
    finally:
        for process in (proxy, control):
            if process is not None:
                process.kill()
                process.wait()
        log.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="where Bazel puts what it builds")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = {size: [] for size in SIZES}
    for _ in range(options.rounds):
        for size in SIZES:
            with tempfile.TemporaryDirectory() as scratch:
                rows[size].append(measure(size, options.programs, pathlib.Path(scratch)))

    def median(size, *path):
        values = []
        for row in rows[size]:
            for key in path:
                row = row[key]
            values.append(row)
        return statistics.median(values)

    print("| Services | sidecar VmRSS KiB | RssAnon KiB | CPU s | five destinations known after s | control plane VmRSS KiB "
          "| its start s | again s | a changed line is known after s | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        print(f"| {size} | {median(size, 'proxy', 'VmRSS'):.0f} | {median(size, 'proxy', 'RssAnon'):.0f} "
              f"| {median(size, 'cpu'):.2f} | {median(size, 'resolved'):.2f} | {median(size, 'control', 'VmRSS'):.0f} "
              f"| {median(size, 'start'):.2f} | {median(size, 'restart'):.2f} | {median(size, 'changed'):.2f} "
              f"| {median(size, 'change_cpu'):.2f} |")
    growth = median(SIZES[-1], "proxy", "RssAnon") - median(SIZES[0], "proxy", "RssAnon")
    print(f"the sidecar's own memory grows by {growth:.0f} KiB; {ALLOWED_GROWTH_KIB} are allowed")
    slow = max(row["changed"] for row in rows[SIZES[-1]]) >= ALLOWED_CHANGE_SECONDS
    return 1 if growth > ALLOWED_GROWTH_KIB or slow else 0


if __name__ == "__main__":
    sys.exit(main())
