"""Rounds into tables: medians, and their ratios to Envoy and to the best other peer."""
import json
import statistics

OURS = "countersign"
REFERENCE = "envoy"
# No proxies that encrypt: they show the limits and win no comparison.
NOT_PEERS = ("direct", "floor", OURS)


def find(result, path):
    for key in path.split("."):
        if not isinstance(result, dict) or key not in result:
            return None
        result = result[key]
    return result


def at(path, scale=1.0):
    def read(result):
        value = find(result, path)
        return None if value is None else value * scale
    return read


def one_side(phase, side):
    def read(result):
        cpu, count = find(result, f"{phase}.cpu.{side}"), find(result, f"{phase}.requests")
        return sum(cpu) / count * 1e6 if cpu and count else None
    return read


def errors(result):
    phases = ("http", "http_1k", "http_64k", "http_rate", "http_alt", "h2", "h2_1k", "h2_64k", "cps", "cps_resume")
    return sum(find(result, f"{p}.{e}") or 0 for p in phases for e in ("errors", "non200", "failed"))


def neighbours(result):
    seconds = find(result, "http.secs")
    return find(result, "http.other_cpu_s") / seconds if seconds else None


MIB = 1 / 1024
LESS, MORE, NEITHER = -1, 1, 0

# name, how to read it from a round, format, which is better, goal as a ratio to Envoy
METRICS = (
    ("HTTP small GET, 64 conns: CPU s / 1M", at("http.cpu_per"), "{:.1f}", LESS, .33),
    ("  of that A", one_side("http", "A"), "{:.1f}", LESS, None),
    ("  of that B", one_side("http", "B"), "{:.1f}", LESS, None),
    ("  requests / s", at("http.rps"), "{:.0f}", MORE, None),
    ("  p50, us", at("http.p50_us"), "{:.0f}", LESS, None),
    ("  p99, us", at("http.p99_us"), "{:.0f}", LESS, None),
    ("HTTP GET of 1 KiB, 64 conns: CPU s / 1M", at("http_1k.cpu_per"), "{:.1f}", LESS, .33),
    ("  p99, us", at("http_1k.p99_us"), "{:.0f}", LESS, None),
    ("HTTP GET of 64 KiB, 64 conns: CPU s / 1M", at("http_64k.cpu_per"), "{:.1f}", LESS, None),
    ("  p99, us", at("http_64k.p99_us"), "{:.0f}", LESS, None),
    ("HTTP at 2,000/s: CPU s / 1M", at("http_rate.cpu_per"), "{:.1f}", LESS, None),
    ("  p50, us", at("http_rate.p50_us"), "{:.0f}", LESS, None),
    ("  p99, us", at("http_rate.p99_us"), "{:.0f}", LESS, None),
    ("HTTP by the other way: CPU s / 1M", at("http_alt.cpu_per"), "{:.1f}", LESS, None),
    ("HTTP/2 end to end, 8 x 8: CPU s / 1M", at("h2.cpu_per"), "{:.1f}", LESS, .42),
    ("  requests / s", at("h2.rps"), "{:.0f}", MORE, None),
    ("HTTP/2 of 1 KiB, 8 x 8: CPU s / 1M", at("h2_1k.cpu_per"), "{:.1f}", LESS, .42),
    ("HTTP/2 of 64 KiB, 8 x 8: CPU s / 1M", at("h2_64k.cpu_per"), "{:.1f}", LESS, None),
    ("TCP bulk up, 1 conn: CPU s / GB", at("bulk1.cpu_per"), "{:.2f}", LESS, .75),
    ("  MB / s", at("bulk1.MBps"), "{:.0f}", MORE, None),
    ("TCP bulk up, 16 conns: CPU s / GB", at("bulk16.cpu_per"), "{:.2f}", LESS, .75),
    ("  MB / s", at("bulk16.MBps"), "{:.0f}", MORE, None),
    ("TCP bulk down, 1 conn: CPU s / GB", at("bulk1d.cpu_per"), "{:.2f}", LESS, .75),
    ("  MB / s", at("bulk1d.MBps"), "{:.0f}", MORE, None),
    ("TCP echo 128 B, 16 conns: CPU s / 1M", at("pp.cpu_per"), "{:.1f}", LESS, .68),
    ("  round trips / s", at("pp.rps"), "{:.0f}", MORE, None),
    ("  p50, us", at("pp.p50_us"), "{:.0f}", LESS, None),
    ("  p99, us", at("pp.p99_us"), "{:.0f}", LESS, None),
    ("new connection: CPU ms", at("cps.cpu_per"), "{:.3f}", LESS, .24),
    ("  connections / s", at("cps.cps"), "{:.0f}", MORE, None),
    ("new connection, resumption allowed: CPU ms", at("cps_resume.cpu_per"), "{:.3f}", LESS, None),
    ("idle connection: KiB at A", at("idle.kib_per_conn.A"), "{:.1f}", LESS, None),
    ("idle connection: KiB at B", at("idle.kib_per_conn.B"), "{:.1f}", LESS, None),
    ("RSS idle, MiB: A", at("mem_start.A.VmRSS", MIB), "{:.1f}", LESS, None),
    ("RSS idle, MiB: B", at("mem_start.B.VmRSS", MIB), "{:.1f}", LESS, None),
    ("  anonymous: A", at("mem_start.A.RssAnon", MIB), "{:.1f}", LESS, None),
    ("  anonymous: B", at("mem_start.B.RssAnon", MIB), "{:.1f}", LESS, None),
    ("RSS after all load, MiB: A", at("mem_end.A.VmRSS", MIB), "{:.1f}", LESS, None),
    ("RSS after all load, MiB: B", at("mem_end.B.VmRSS", MIB), "{:.1f}", LESS, None),
    ("errors, all phases", errors, "{:.0f}", NEITHER, None),
    ("CPUs used by neighbours (http)", neighbours, "{:.2f}", NEITHER, None),
)


class Report:
    def __init__(self, rounds, conditions):
        self._rounds = rounds
        self._conditions = conditions
        self._peers = list(dict.fromkeys(r["peer"] for r in rounds))

    def _values(self, peer, read):
        found = (read(r) for r in self._rounds if r["peer"] == peer)
        return [value for value in found if value is not None]

    def _medians(self, read):
        return {peer: statistics.median(values) for peer in self._peers
                if (values := self._values(peer, read))}

    def _failures(self):
        lines = []
        for r in self._rounds:
            if "fatal" in r:
                lines.append(f"{r['peer']}: {r['fatal']}")
            lines += [f"{r['peer']}: {phase}: {figures['error']}" for phase, figures in r.items()
                      if isinstance(figures, dict) and "error" in figures]
        return sorted(set(lines))

    def to_json(self):
        metrics = {}
        heading = ""
        for name, read, _, better, goal in METRICS:
            if name.startswith("  "):
                name = f"{heading}; {name.strip()}"
            else:
                heading = name
            medians = self._medians(read)
            entry = {peer: {"median": round(median, 4),
                            "min": round(min(self._values(peer, read)), 4),
                            "max": round(max(self._values(peer, read)), 4),
                            "rounds": len(self._values(peer, read))}
                     for peer, median in medians.items()}
            if better != NEITHER:
                entry |= {k: round(v, 4) for k, v in self._ratios(medians, better).items()}
            if goal:
                entry["goal_to_envoy"] = goal
            metrics[name] = entry
        notes = {r["peer"]: r.get("note", "") for r in self._rounds}
        return json.dumps({"conditions": self._conditions, "metrics": metrics, "notes": notes,
                           "failures": self._failures()}, indent=1)

    @staticmethod
    def _ratios(medians, better):
        ours = medians.get(OURS)
        others = [m for peer, m in medians.items() if peer not in NOT_PEERS]
        ratios = {}
        if ours is None:
            return ratios
        if medians.get(REFERENCE):
            ratios["to_envoy"] = ours / medians[REFERENCE]
        best = (min if better == LESS else max)(others) if others else 0
        if best:
            ratios["to_best"] = ours / best
        return ratios

    def to_text(self):
        header = ["median of the rounds", *self._peers, "/ envoy", "goal", "/ best"]
        table = [header]
        for name, read, form, better, goal in METRICS:
            medians = self._medians(read)
            if not medians:
                continue
            ratios = self._ratios(medians, better) if better != NEITHER else {}
            table.append([
                name,
                *(form.format(medians[p]) if p in medians else "-" for p in self._peers),
                f"{ratios['to_envoy']:.2f}" if "to_envoy" in ratios else "",
                f"<= {goal:.2f}" if goal else "",
                f"{ratios['to_best']:.2f}" if "to_best" in ratios else "",
            ])
        widths = [max(len(row[i]) for row in table) for i in range(len(header))]
        lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                           for i, (cell, w) in enumerate(zip(row, widths))) for row in table]
        lines.insert(1, "-" * len(lines[0]))
        lines += ["", "conditions: " + ", ".join(f"{k} {v}" for k, v in self._conditions.items())]
        failures = self._failures()
        lines += ["failures: " + ("none" if not failures else "")] + [f"  {f}" for f in failures]
        return "\n".join(lines)
