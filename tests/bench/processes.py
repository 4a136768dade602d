"""What the kernel knows of processes: CPU seconds, memory, and the machine's load; from /proc."""
import os

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    """(user, system) seconds that the processes have used so far."""
    user = system = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        user += int(fields[11])
        system += int(fields[12])
    return user / _TICKS, system / _TICKS


def memory_kib(pids):
    """VmRSS, RssAnon and RssFile of the processes, summed, in KiB."""
    total = {"VmRSS": 0, "RssAnon": 0, "RssFile": 0}
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            for line in file:
                key = line.split(":")[0]
                if key in total:
                    total[key] += int(line.split()[1])
    return total


def machine_seconds():
    """Busy and stolen CPU seconds of the whole machine since it started."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(f) for f in file.readline().split()[1:9]]
    busy = sum(fields) - fields[3] - fields[4]
    return {"busy": busy / _TICKS, "steal": fields[7] / _TICKS}
