"""Work that goes on while the mesh is disturbed, done by unmodified programs; every answer is counted and checked."""

import os
import subprocess
import threading
import time

import programs

# A shell loop of separate curl runs: each is a new connection. Prints one line for each run.
NEW_CONNECTIONS = """
while [ ! -e stop-loads ]; do
  curl -sS --max-time 8 --noproxy '*' -o /dev/null -w '%{http_code}' "$1" 2>>curl-errors || printf ' failed'
  echo; sleep 0.05
done
"""

# One redis-cli whose commands arrive on its standard input, and one mariadb session likewise: a connection each that
# lives as long as the load.
FEED_REDIS = 'i=0; while [ ! -e stop-loads ]; do i=$((i+1)); echo "ECHO $i"; sleep 0.02; done | redis-cli -h "$1"'
FEED_SQL = ('i=0; (while [ ! -e stop-loads ]; do i=$((i+1)); echo "SELECT $i;"; sleep 0.02; done) | ' +
            ' '.join(programs.mariadb_command('"$1"')))


class Loads:
    """Starts at construction, ends with finish()."""

    def __init__(self, pod, bulk_digest=None, bulk_rate='2M', api='api', cache='cache', db='db'):
        self.pod = pod
        self._digest = bulk_digest
        stop = f'{pod.folder}/stop-loads'
        for leftover in (stop, f'{pod.folder}/curl-errors'):
            if os.path.exists(leftover):
                os.unlink(leftover)
        self._stop = stop
        self._number = len(pod.mesh.processes)
        self._loops = {
            'new HTTP connections': self._start('curl', NEW_CONNECTIONS, f'http://{api}/'),
            'queries on one Redis connection': self._start('redis', FEED_REDIS, cache),
            'queries on one MariaDB connection': self._start('sql', FEED_SQL, db),
        }
        self.bulk = None
        if bulk_digest:
            self.bulk = self._start('bulk', f'curl -sS --limit-rate {bulk_rate} --noproxy "*" "$1" | sha256sum',
                                    f'http://{api}/bulk')
        self.started = time.monotonic()

    def _start(self, name, script, *arguments):
        return self.pod.spawn(f'load-{name}-{self._number}', ['bash', '-o', 'pipefail', '-c', script, 'load', *arguments])

    def finish(self, bulk_timeout=120):
        """Ends the loops (the bulk transfer is waited for) and returns ({what: count}, [what failed])."""
        counts, failures = {}, []
        if self.bulk is not None:
            try:
                code = self.bulk.popen.wait(bulk_timeout)
            except subprocess.TimeoutExpired:
                self.bulk.kill()
                code = 124
            said = self.bulk.output().strip()
            counts[f'MB in one bulk transfer ({time.monotonic() - self.started:.0f} s)'] = programs.BULK_MEGABYTES
            if code != 0 or said != f'{self._digest}  -':
                failures.append(f'the bulk transfer ended with code {code}: {said[-200:]}')
        open(self._stop, 'w').close()
        for what, process in self._loops.items():
            try:
                code = process.popen.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                code = 124
            lines = process.output().split('\n')[:-1]
            counts[what] = len(lines)
            if what.startswith('new'):
                bad = [line for line in lines if line.strip() != '200']
                if bad and os.path.exists(f'{self.pod.folder}/curl-errors'):
                    with open(f'{self.pod.folder}/curl-errors') as file:
                        bad = [f'{b.strip()}' for b in bad] + file.read().splitlines()[-3:]
            else:
                bad = [line for number, line in enumerate(lines, 1) if line.strip() != str(number)]
            if bad:
                failures.append(f'{what}: {len(bad)} of {len(lines)} wrong, for example {bad[:4]}')
            elif code != 0:
                failures.append(f'{what}: ended with code {code}: {lines[-2:]}')
            elif len(lines) < 10:
                failures.append(f'{what}: only {len(lines)}')
        return counts, failures


def words(counts):
    return ', '.join(f'{count} {what}' for what, count in counts.items())


class Watcher:
    """Samples a function in a thread; keeps (time, value) whenever the value changed."""

    def __init__(self, sample, interval=0.2):
        self.changes = []
        self._sample = sample
        self._interval = interval
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        last = object()
        while not self._end.is_set():
            value = self._sample()
            if value is not None and value != last:
                self.changes.append((time.monotonic(), value))
                last = value
            self._end.wait(self._interval)

    def stop(self):
        self._end.set()
        self._thread.join()
        return self.changes
