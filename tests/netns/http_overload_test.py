"""What a whole sidecar does when it runs out of something, be it descriptors or the memory that bytes may wait in: it sheds the newest
first, serves whom it has, does not spin, and is as before once there is room."""

import re
import socket
import time

from tests.support import http2, netns_test, pod_socket
from tests.support.http_mesh import APP, HttpMesh
from tests.support.mesh import PROXY_UID, MeshError, wait_for

MEMORY_KIB = 4096
BODY = 3_000_000


class OverloadMesh(HttpMesh):
    pods = ()
    sidecar_flags = (f'--max-buffered-bytes={MEMORY_KIB * 1024}',)

    def to_service(self):
        """A connection of an application that the sidecar of `client` captures."""
        return pod_socket.connect(self.client, self.mesh.services['v1'].ipv4, 80)

    @staticmethod
    def ask(sock, path='/', timeout=5.0):
        """(status, head) of one request on a connection that is kept; (None, how it ended) if no answer came."""
        data = b''
        try:
            sock.settimeout(timeout)
            sock.sendall(f'GET {path} HTTP/1.1\r\nHost: v1\r\n\r\n'.encode())
            while b'\r\n\r\n' not in data:
                more = sock.recv(65536)
                if not more:
                    return None, 'end'
                data += more
            head, _, body = data.partition(b'\r\n\r\n')
            left = int(re.search(rb'(?i)content-length: (\d+)', head).group(1)) - len(body)
            while left > 0 and (more := sock.recv(left)):
                left -= len(more)
        except TimeoutError:
            return None, 'silence'
        except OSError:
            return None, 'reset'
        return int(data.split()[1]), head.decode()

    def assert_calm(self, pod, seconds=2.0):
        before = pod.sidecar.cpu_seconds()
        time.sleep(seconds)
        used = pod.sidecar.cpu_seconds() - before
        print(f'    {used:.2f} s of CPU in {seconds:.0f} s', flush=True)
        self.assertLess(used, seconds / 4, 'it spins')

    def shed(self, pod, limit):
        return self.samples(pod).sum('countersign_overload_total', limit=limit)

    def close_all(self, sockets):
        for sock in sockets:
            sock.close()

    def ask_anew(self, open_one):
        try:
            with open_one() as sock:
                return self.ask(sock)
        except OSError:
            return None, 'reset'

    def assert_recovers(self, open_one):
        wait_for('new callers are served', lambda: self.ask_anew(open_one)[0] == 200, 5)


class DescriptorClaims:
    """Run by the subclasses, at one entrance each."""

    SPARE = 24

    def open(self):
        raise NotImplementedError

    @property
    def victim(self):
        raise NotImplementedError

    def prlimit(self, *words):
        result = self.victim.run(['prlimit', f'--pid={self.victim.sidecar.popen.pid}', *words], uid=PROXY_UID)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.strip()

    def leave(self, spare):
        """From now on the sidecar may open about so many descriptors more; what it returns takes that back."""
        before = self.prlimit('--nofile', '--noheadings', '--raw', '--output=SOFT')
        used = int(self.samples(self.victim).sum('process_open_fds'))
        self.prlimit(f'--nofile={used + spare}:')
        return lambda: self.prlimit(f'--nofile={before}:')

    def test_the_newest_is_refused_and_an_old_caller_answered_all_the_while(self):
        before = self.shed(self.victim, 'file_descriptors')
        old = http2.Client(self.open())
        old.ask(http2.request('/hang', authority='v1'))
        self.assertEqual(old.get(http2.request('/', authority='v1')).status, 200)
        give_back = self.leave(self.SPARE)
        crowd, refused = [], 0
        try:
            cpu = self.victim.sidecar.cpu_seconds()
            for number in range(4 * self.SPARE):
                try:
                    crowd.append(self.open())
                    crowd[-1].sendall(b'GET /hang HTTP/1.1\r\nHost: v1\r\n\r\n')
                except OSError:
                    refused += 1
                if number < self.SPARE // 4:
                    time.sleep(0.05)  # these are served before it becomes tight
            for _ in range(20):
                self.assertIn(old.get(http2.request('/', authority='v1')).status, self.served)
                time.sleep(0.1)
            used = self.victim.sidecar.cpu_seconds() - cpu
            met = [pod_socket.read_until_end(sock, 0.01) for sock in crowd]
        finally:
            self.close_all(crowd)
            give_back()
        refused += sum(ended == 'reset' or data.startswith(b'HTTP/1.1 503') for data, ended in met)
        print(f'    {used:.2f} s of CPU; {refused} of {4 * self.SPARE} refused', flush=True)
        if not self.sanitized:
            self.assertLess(used, 0.75, 'it spins')
        self.assertGreaterEqual(refused, self.SPARE, met)
        self.assertEqual(met[:self.SPARE // 4], [(b'', 'open')] * (self.SPARE // 4), 'those that came first are refused')
        old.close()
        self.assert_recovers(self.open)
        self.assertGreater(self.shed(self.victim, 'file_descriptors'), before)

    def test_connections_without_requests_make_room(self):
        give_back = self.leave(self.SPARE)
        crowd = []
        try:
            for _ in range(2 * self.SPARE):
                try:
                    crowd.append(self.open())
                except OSError:
                    continue  # refused, as it may be for a moment
                self.ask(crowd[-1], timeout=0.5)
            self.assert_recovers(self.open)
        finally:
            self.close_all(crowd)
            give_back()

    def test_pages_that_nobody_can_be_given_cost_nothing_and_come_later(self):
        give_back = self.leave(-16)
        crowd = []
        try:
            for _ in range(4):
                page = pod_socket.connect(self.legacy, self.victim.ipv4, 15021)
                page.sendall(b'GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n')
                crowd += [page, self.open()]
            self.assert_calm(self.victim)
        finally:
            give_back()
        for page in crowd[::2]:
            self.assertRegex(pod_socket.read_until_end(page, 3)[0], rb'^HTTP/1.1 200')
        self.close_all(crowd)
        self.assert_recovers(self.open)


class OutboundDescriptorTest(DescriptorClaims, OverloadMesh):
    def open(self):
        return self.to_service()

    victim = property(lambda self: self.client)
    served = (200,)


class InboundDescriptorTest(DescriptorClaims, OverloadMesh):
    def open(self):
        return pod_socket.connect(self.legacy, self.one.ipv4, APP)

    victim = property(lambda self: self.one)
    served = (200, 503)  # its request may need a connection to the application, for which there is no descriptor


class MemoryTest(OverloadMesh):
    """Readers that do not read fill what the sidecar may hold."""

    READERS = 32

    def fill(self):
        readers = []
        for _ in range(self.READERS):
            sock = self.to_service()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            readers.append(sock)
        for sock in readers:
            sock.sendall(f'GET /big/{BODY} HTTP/1.1\r\nHost: v1\r\nConnection: close\r\n\r\n'.encode())
        try:
            wait_for('new connections are refused', lambda: self.ask_anew(self.to_service)[1] == 'reset', 10)
        except MeshError:
            self.close_all(readers)
            raise
        return readers

    def test_the_newest_is_refused_what_runs_is_finished_and_idle_ones_go(self):
        busy, idle = http2.Client(self.to_service()), self.to_service()
        busy.ask(http2.request('/hang', authority='v1'))
        self.assertEqual(self.ask(idle)[0], 200)
        before = self.shed(self.client, 'memory')
        rss = self.rss_kib(self.client)
        readers = self.fill()
        answer = busy.get(http2.request('/', authority='v1'))
        self.assertEqual((answer.status, answer.headers.get('x-countersign-flags'), answer.headers.get('x-countersign-reason')),
                         (503, 'OM', 'overload'))
        self.assertEqual(pod_socket.read_until_end(idle, 3)[1], 'end', 'a connection without a request is kept')
        self.assert_calm(self.client)
        growth = self.rss_kib(self.client) - rss
        print(f'    it grew by {growth} KiB', flush=True)
        if not self.sanitized:
            self.assertLess(growth, 8 * MEMORY_KIB)
        data, ended = pod_socket.read_until_end(readers[0], 10, limit=2 * BODY)
        self.assertEqual((len(data.partition(b'\r\n\r\n')[2]), ended), (BODY, 'end'), 'what ran was touched')
        self.close_all(readers)
        self.assert_recovers(self.to_service)
        self.assertGreater(self.shed(self.client, 'memory'), before)
        busy.close()

    def test_others_are_served_when_the_readers_have_gone_again_and_again(self):
        for _ in range(3):
            self.close_all(self.fill())
            self.assert_recovers(self.to_service)
        self.assertTrue(self.client.sidecar.running and self.one.sidecar.running)


if __name__ == '__main__':
    netns_test.main()
