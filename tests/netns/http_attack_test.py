"""What HTTP must survive: each attack against the real proxy, on the application's side of the outbound sidecar, on the
plaintext side of the inbound one, and inside the mesh with a certificate that is good. The proxies go on as if nothing were.
"""

import json
import re
import socket
import struct
import threading
import time

from tests.support import forgery, hpack, http2, netns_test, pod_socket
from tests.support.http_mesh import APP, HttpMesh
from tests.support.mesh import STATE, wait_for

MESH_HTTP = 'countersign-h2'
RSS_LIMIT_KIB = 32 * 1024  # growth of a sidecar over one attack


class AttackMesh(HttpMesh):
    pods = ()
    victims = ('client', 'one')

    @classmethod
    def build(cls, mesh):
        super().build(mesh)
        forger = forgery.Forger.of_the_mesh(f'{STATE}/forged', mesh)
        AttackMesh.credentials = forger.leaf('member', ['spiffe://demo.example/ns/demo/sa/intruder'])

    @classmethod
    def configure(cls, mesh):
        mesh.write_mesh(more='  http:\n    requestHeadersTimeout: 3s\n    streamIdleTimeout: 4s\n')

    def setUp(self):
        self.curl('http://v1/')
        self.before = {name: self.rss_kib(self.mesh.pods[name]) for name in self.victims}
        self.worked = self.app_worked()

    def tearDown(self):
        """The proxies live, serve others at once, and have forgotten the attack."""
        for name in self.victims:
            pod = self.mesh.pods[name]
            self.assertTrue(pod.sidecar.running, f'{name}: the sidecar is gone')
            growth = self.rss_kib(pod) - self.before[name]
            if not self.sanitized:
                self.assertLess(growth, RSS_LIMIT_KIB, f'{name} grew by {growth} KiB')
        started = time.monotonic()
        self.assertEqual(self.curl('http://v1/').status, 200)
        if not self.sanitized:
            self.assertLess(time.monotonic() - started, 1.5)

    def app_worked(self):
        """Requests to /work that have reached the application, asked from inside its pod."""
        return json.loads(self.curl(f'http://127.0.0.1:{APP}/counts', pod=self.one).body)['work']

    def assert_not_forwarded(self):
        self.assertEqual(self.app_worked(), self.worked, 'the application has seen it')

    def local_answers(self):
        """Requests that the proxies have answered themselves, or ended, as their metrics have it."""
        total = 0
        for name in self.victims:
            samples = self.samples(self.mesh.pods[name])
            total += sum(value for labels, value in samples.all('countersign_requests_total')
                         if labels.get('response_flags', '-') not in ('-', ''))
            for family in ('countersign_http_protocol_errors_total', 'countersign_http_rejected_total',
                           'countersign_http_refused_total', 'countersign_overload_total'):
                total += samples.sum(family)
        return total

    def assert_counted(self, before):
        wait_for('the refusal is counted', lambda: self.local_answers() > before, 3)


class Http1Attacks:
    """Run by the subclasses, against one entrance each."""

    def open(self):
        raise NotImplementedError

    def send(self, raw, timeout=4.0, then=b''):
        """(status or None, whole answer, how it ended)."""
        sock = self.open()
        try:
            sock.sendall(raw)
            if then:
                time.sleep(0.1)
                sock.sendall(then)
        except OSError:
            pass  # refused before all was sent
        data, ended = pod_socket.read_until_end(sock, timeout)
        sock.close()
        match = re.match(rb'HTTP/1\.[01] (\d{3})', data)
        return int(match.group(1)) if match else None, data, ended

    def assert_refused(self, raw, statuses=(400,), what=None):
        with self.subTest(what or raw[:90]):
            status, data, ended = self.send(raw)
            self.assertIn(status, statuses, data[:300])
            self.assertIn(ended, ('end', 'reset'), 'the connection is still open')
            self.assertEqual(len(re.findall(rb'(?m)^HTTP/1\.1 \d{3}', data)), 1, f'more than one answer: {data[:500]}')

    def assert_each_refused(self, requests, statuses=(400,)):
        before = self.local_answers()
        for raw in requests:
            self.assert_refused(raw, statuses)
        self.assert_counted(before)
        self.assert_not_forwarded()

    @staticmethod
    def post(fields, body=b'', target=b'/work', version=b'HTTP/1.1', host=b'Host: v1\r\n'):
        return b'POST ' + target + b' ' + version + b'\r\n' + host + fields + b'\r\n' + body

    SMUGGLED = b'GET /work?smuggled HTTP/1.1\r\nHost: v1\r\n\r\n'

    def test_01_both_lengths_are_refused(self):
        self.assert_each_refused([
            self.post(b'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n' + self.SMUGGLED),
            self.post(b'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', b'0\r\n\r\n' + self.SMUGGLED),
            self.post(b'transfer-encoding:chunked\r\ncontent-length:0\r\n', b'0\r\n\r\n')])

    def test_02_a_content_length_that_is_no_number_is_refused(self):
        self.assert_each_refused([self.post(b'Content-Length: ' + value + b'\r\n', b'12345') for value in (
            b'+5', b'-5', b'0x5', b'', b'5 5', b'5,6', b'5, 6', b'5;', b'five', b'18446744073709551617',
            b'99999999999999999999999999', b'5_0', b'0b1', b'\x0b5')])
        self.assert_each_refused([self.post(b'Content-Length: 5\r\nContent-Length: 6\r\n', b'123456')])

    def test_03_a_transfer_encoding_that_others_may_read_otherwise_is_refused(self):
        body = b'0\r\n\r\n' + self.SMUGGLED
        self.assert_each_refused([self.post(fields, body) for fields in (
            b'Transfer-Encoding: xchunked\r\n', b'Transfer-Encoding: \x0bchunked\r\n', b'Transfer-Encoding : chunked\r\n',
            b'Transfer-Encoding:\r\n chunked\r\n', b'X: y\r\n Transfer-Encoding: chunked\r\n',
            b'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', b'Transfer-Encoding: chunked, identity\r\n',
            b'Transfer-Encoding: "chunked"\r\n', b'Transfer-Encoding: chunked\x00\r\n',
            b'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n')], (400, 501))
        self.assert_each_refused([self.post(b'Transfer-Encoding: chunked\r\n', body, version=b'HTTP/1.0')])

    def chunked(self, framing):
        return self.post(b'Transfer-Encoding: chunked\r\n', framing)

    def assert_broken_body(self, requests):
        """The head is good and may have gone on already; the request must not be completed, nor the connection go on."""
        for raw in requests:
            with self.subTest(raw[-90:]):
                status, data, ended = self.send(raw)
                self.assertIn(status, (400, None), data[:300])
                self.assertIn(ended, ('end', 'reset'), 'the connection is still open')
                self.assertNotIn(b' 200 ', data)

    def test_04_a_chunk_size_that_is_no_hexadecimal_number_ends_the_request(self):
        self.assert_broken_body([self.chunked(size + b'\r\nabcde\r\n0\r\n\r\n' + self.SMUGGLED) for size in (
            b'0x5', b'5_0', b'+5', b'-5', b'', b' 5', b'g', b'fffffffffffffffff', b'10000000000000005', b'5' * 40)])
        self.assert_broken_body([self.chunked(b'5;' + b'x' * 200_000 + b'\r\nabcde\r\n0\r\n\r\n')])

    def test_05_a_bare_line_feed_in_chunk_framing_ends_the_request(self):
        self.assert_broken_body([self.chunked(framing + self.SMUGGLED) for framing in (
            b'5\nabcde\r\n0\r\n\r\n', b'5\r\nabcde\n0\r\n\r\n', b'5\r\nabcde\r\n0\n\r\n', b'5;a\nb\r\nabcde\r\n0\r\n\r\n',
            b'5\r\nabcdeX0\r\n\r\n')])

    def test_06_control_bytes_in_a_head_are_refused(self):
        self.assert_each_refused([self.post(b'X-A: a' + byte + b'b\r\n') for byte in (
            b'\x00', b'\r', b'\x01', b'\x07', b'\x0b', b'\x1f', b'\x7f')])
        self.assert_each_refused([b'GET /work\x00 HTTP/1.1\r\nHost: v1\r\n\r\n', b'GET /work\x01 HTTP/1.1\r\nHost: v1\r\n\r\n',
                                  b'GE\x00T /work HTTP/1.1\r\nHost: v1\r\n\r\n'])

    def test_07_an_empty_overlong_or_illegal_name_is_refused(self):
        self.assert_each_refused([self.post(fields) for fields in (
            b': value\r\n', b' : value\r\n', b'na me: value\r\n', b'na(me: value\r\n', b'n\xc3\xa4me: value\r\n', b'name\r\n')])
        self.assert_each_refused([self.post(b'x' * 70_000 + b': value\r\n')], (400, 431))

    def test_08_trailers_never_become_headers(self):
        body = (b'3\r\nabc\r\n0\r\nContent-Length: 7\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n'
                b'X-Forwarded-Client-Cert: URI=spiffe://evil\r\nX-Good: yes\r\n\r\n')
        status, data, _ = self.send(self.post(b'Transfer-Encoding: chunked\r\nTE: trailers\r\nConnection: close\r\n', body, b'/echo'))
        if status == 400:
            return
        self.assertEqual(status, 200, data[:300])
        echo = json.loads(data.split(b'\r\n\r\n', 1)[1])
        self.assertEqual(echo['bytes'], 3)
        trailers = {name for name, _ in echo['trailers']}
        self.assertFalse(trailers & {'content-length', 'host', 'transfer-encoding', 'x-forwarded-client-cert'}, echo)
        self.assertFalse([f for f in echo['headers'] if f[1] in ('7', 'evil', 'URI=spiffe://evil')], echo)
        self.assertEqual([value for name, value in echo['headers'] if name == 'host'], ['v1'])

    def test_09_bytes_after_an_upgrade_wait_for_the_answer_and_a_refusal_ends_the_connection(self):
        upgrade = (b'GET /work HTTP/1.1\r\nHost: v1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
                   b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n')
        status, data, ended = self.send(upgrade + self.SMUGGLED)
        self.assertLessEqual(self.app_worked() - self.worked, 1, 'what followed the upgrade reached the application as a request')
        self.assertEqual(data.count(b'HTTP/1.1 200'), 1 if status == 200 else 0, data[:500])
        self.assertIn(ended, ('end', 'reset'))
        self.worked = self.app_worked()
        status, data, ended = self.send(b'CONNECT v1:80 HTTP/1.1\r\nHost: v1:80\r\n\r\n' + self.SMUGGLED)
        self.assertNotEqual(status, 200)
        self.assertIn(ended, ('end', 'reset'))
        self.assert_not_forwarded()

    def test_09_an_application_that_upgrades_unasked_is_not_believed(self):
        status, data, ended = self.send(b'GET /upgrade-anyway HTTP/1.1\r\nHost: v1\r\n\r\n' + self.SMUGGLED)
        self.assertIn(status, (502, 503), data[:300])
        self.assertLessEqual(self.app_worked() - self.worked, 1)

    def test_10_an_upgrade_to_h2c_is_not_passed_on(self):
        status, data, _ = self.send(b'GET /echo HTTP/1.1\r\nHost: v1\r\nConnection: Upgrade, HTTP2-Settings, close\r\n'
                                    b'Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n')
        self.assertEqual(status, 200, data[:300])
        names = {name for name, _ in json.loads(data.split(b'\r\n\r\n', 1)[1])['headers']}
        self.assertFalse(names & {'upgrade', 'http2-settings'}, names)

    def test_11_a_target_or_host_that_can_be_read_in_two_ways_is_refused(self):
        self.assert_each_refused([
            b'GET /work#part HTTP/1.1\r\nHost: v1\r\n\r\n', b'GET /work HTTP/1.1\r\nHost: v1\r\nHost: v2\r\n\r\n',
            b'GET /work HTTP/1.1\r\nHost: v1\r\nHost: v1\r\n\r\n', b'GET http://v2/work HTTP/1.1\r\nHost: v1\r\n\r\n',
            b'GET /work HTTP/1.1\r\n\r\n', b'GET /work HTTP/1.1\r\nHost: v1, v2\r\n\r\n', b'GET /work HTTP/1.1\r\nHost: a@v1\r\n\r\n',
            b'GET work HTTP/1.1\r\nHost: v1\r\n\r\n', b'GET /work HTTP/1.1 \r\nHost: v1\r\n\r\n', b'GET  /work HTTP/1.1\r\nHost: v1\r\n\r\n',
            b'GET /work HTTP/2.0\r\nHost: v1\r\n\r\n', b'GET /work HTTP/1.15\r\nHost: v1\r\n\r\n', b'GET /work\r\n\r\n'], (400, 505))

    def test_12_a_path_arrives_in_one_form_only(self):
        for target in (b'/%2e%2e/echo', b'/a/../echo', b'/a//../echo', b'//echo', b'/./echo', b'/a/%2e%2e/echo', b'/a%2f..%2fecho',
                       b'/echo%00', b'/a\\..\\echo', b'/a/..;x/echo', b'/..%5cecho', b'/%252e%252e/echo', b'/e%63ho', b'/../../echo'):
            with self.subTest(target):
                status, data, _ = self.send(b'GET ' + target + b' HTTP/1.1\r\nHost: v1\r\nConnection: close\r\n\r\n')
                if status == 400:
                    continue
                self.assertEqual(status, 200, data[:200])
                body = data.split(b'\r\n\r\n', 1)[1]
                seen = json.loads(body)['target'] if body.startswith(b'{') else body.split()[2].decode()
                for piece in ('/../', '/./', '%2e%2e', '%2f', '%2F', '%00', '\\', '%5c'):
                    self.assertNotIn(piece, seen)
                self.assertFalse(seen.startswith('//') or seen.endswith('/..'), seen)

    def test_13_a_callers_own_word_for_its_identity_is_removed(self):
        for fields in (b'X-Forwarded-Client-Cert: URI=spiffe://evil\r\n',
                       b'X-Forwarded-Client-Cert: URI=spiffe://evil\r\nConnection: close, X-Forwarded-Client-Cert\r\n',
                       b'x-fOrWaRdEd-ClIeNt-CeRt: URI=spiffe://evil\r\nX-Forwarded-Client-Cert: URI=spiffe://evil\r\n'):
            status, data, _ = self.send(b'GET /echo HTTP/1.1\r\nHost: v1\r\nConnection: close\r\n' + fields + b'\r\n')
            self.assertEqual(status, 200, data[:300])
            self.assertNotIn(b'evil', data)

    def test_14_heads_without_measure_are_431_in_linear_time(self):
        before = self.local_answers()
        started = time.monotonic()
        self.assert_refused(self.post(b''.join(b'X-%d: %s\r\n' % (n, b'v' * 1000) for n in range(100))), (431,), '100 KB')
        self.assert_refused(self.post(b'X-Long: ' + b'v' * 100_000 + b'\r\n'), (431,), 'one of 100 KB')
        self.assert_refused(self.post(b''.join(b'X-%d: v\r\n' % n for n in range(10_000))), (431,), '10,000 fields')
        self.assert_refused(self.post(b'Cookie: a\r\n' * 10_000), (431,), '10,000 cookies')
        self.assert_refused(b'GET /' + b'a' * 100_000 + b' HTTP/1.1\r\nHost: v1\r\n\r\n', (414, 431, 400), 'a target of 100 KB')
        self.assertLess(time.monotonic() - started, 5)
        self.assert_counted(before)
        self.assert_not_forwarded()

    def test_14_an_endless_head_is_cut_off(self):
        sock = self.open()
        started = time.monotonic()
        ended = False
        try:
            sock.sendall(b'GET /work HTTP/1.1\r\nHost: v1\r\nX: ')
            while time.monotonic() - started < 15:
                sock.sendall(b'v' * 65536)
                time.sleep(0.001)
        except OSError:
            ended = True
        sock.close()
        # For a moment it is read and thrown away, so that the answer is not lost to a reset.
        self.assertTrue(ended, 'after 15 s it is still being read')
        self.assert_not_forwarded()

    def test_15_slow_headers_end_in_a_time_out(self):
        sock = self.open()
        started = time.monotonic()
        sock.sendall(b'GET /work HTTP/1.1\r\nHost: v1\r\n')
        ended = None
        while time.monotonic() - started < 15 and ended in (None, 'open'):
            try:
                sock.sendall(b'X: y\r\n')  # each is progress, and none of it ends the head
            except OSError:
                ended = 'reset'
                break
            data, ended = pod_socket.read_until_end(sock, 1)
            if data:
                self.assertRegex(data, rb'^HTTP/1.1 408 ')
                break
        took = time.monotonic() - started
        self.assertTrue(ended in ('end', 'reset') or data, 'nothing ended it')
        self.assertLess(took, 8)
        self.assert_not_forwarded()

    def test_15_a_body_that_stops_ends_in_a_time_out(self):
        started = time.monotonic()
        status, data, ended = self.send(self.post(b'Content-Length: 1000\r\n', b'only this'), timeout=15)
        self.assertIn(status, (408, 504), data[:300])
        self.assertIn(ended, ('end', 'reset'))
        self.assertLess(time.monotonic() - started, 10)

    def test_15_a_reader_that_stops_ends_in_a_time_out(self):
        sock = self.open()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b'GET /big/100000000 HTTP/1.1\r\nHost: v1\r\n\r\n')
        time.sleep(10)
        data, ended = pod_socket.read_until_end(sock, 3, limit=90_000_000)
        sock.close()
        self.assertIn(ended, ('end', 'reset'), 'the rest came after all')
        self.assertLess(len(data), 80_000_000)

    def test_15_a_thousand_slow_callers_leave_room_for_others(self):
        sockets = [self.open() for _ in range(1000)]
        for sock in sockets:
            sock.sendall(b'POST /work HTTP/1.1\r\nHost: v1\r\nContent-Length: 1000\r\n\r\nx')
        started = time.monotonic()
        self.assertEqual(self.curl('http://v1/').status, 200)
        self.assertLess(time.monotonic() - started, 1.5)
        for sock in sockets:
            sock.close()

    def test_pipelined_requests_are_answered_in_order(self):
        raw = b''.join(b'GET /%d HTTP/1.1\r\nHost: v1\r\n%s\r\n' % (n, b'Connection: close\r\n' if n == 9 else b'') for n in range(10))
        _, data, ended = self.send(raw)
        self.assertEqual(re.findall(rb'one GET /(\d)', data), [b'%d' % n for n in range(10)], data[:500])
        self.assertEqual(ended, 'end')


class OutboundHttp1AttackTest(Http1Attacks, AttackMesh):
    def open(self):
        return pod_socket.connect(self.client, self.mesh.services['v1'].ipv4, 80)


class InboundHttp1AttackTest(Http1Attacks, AttackMesh):
    def open(self):
        return pod_socket.connect(self.legacy, self.one.ipv4, APP)


class Http2Attacks:
    def open(self):
        raise NotImplementedError

    def speak(self, **options):
        return http2.Client(self.open(), **options)

    def flood(self, make, count=200_000, batch=200, client=None):
        """Sends `make(number)` so many times or until the peer ends it; returns (sent, client)."""
        client = client or self.speak(timeout=5)
        client.receive(lambda: client.peer_settings, 3)
        reader = threading.Thread(target=client.receive, args=(lambda: client.goaway is not None, 20), daemon=True)
        reader.start()
        sent = 0
        while sent < count and not client.closed and client.goaway is None:
            try:
                client.send(b''.join(make(n) for n in range(sent, sent + batch)))
            except TimeoutError:
                break
            sent += batch
        reader.join(5)
        return sent, client

    def assert_ended(self, sent, client, limit):
        print(f'    ended after {sent}, {client.goaway}', flush=True)
        self.assertTrue(client.closed or client.goaway is not None, f'{sent} were taken and nothing said')
        self.assertLess(sent, limit)

    def assert_flood_ends(self, make, limit=100_000, **options):
        before = self.local_answers()
        sent, client = self.flood(make, **options)
        self.assert_ended(sent, client, limit)
        client.close()
        self.assert_counted(before)

    def assert_bad(self, fields=None, payload=None, end_stream=True, then=None):
        """One malformed request: a reset, a GOAWAY or 400, never an answer of the application; others go on."""
        client = self.speak(timeout=3)
        stream = client.new_stream()
        client.send_frame(http2.HEADERS, http2.END_HEADERS | (http2.END_STREAM if end_stream else 0), stream,
                          hpack.encode(fields) if payload is None else payload)
        if then:
            then(client, stream)
        response = client.response(stream)
        client.receive(lambda: response.done or client.goaway is not None, 3)
        refused = response.reset is not None or client.goaway is not None or response.status in (400, 431)
        self.assertTrue(refused or client.closed, f'{fields}: status {response.status}, nothing refused')
        client.close()

    WORK = http2.request('/work', authority='v1')

    def test_16_a_continuation_flood_is_ended(self):
        client = self.speak(timeout=5)
        client.receive(lambda: client.peer_settings, 3)
        client.send_frame(http2.HEADERS, http2.END_STREAM, 1, hpack.encode(self.WORK))
        piece = http2.frame(http2.CONTINUATION, 0, 1, hpack.encode([('x', 'y' * 100)]))
        before = self.local_answers()
        sent, client = self.flood(lambda n: piece, client=client)
        self.assert_ended(sent, client, 100_000)
        self.assert_counted(before)
        empty = http2.frame(http2.CONTINUATION, 0, 1)
        client = self.speak(timeout=5)
        client.send_frame(http2.HEADERS, http2.END_STREAM, 1, hpack.encode(self.WORK))
        sent, client = self.flood(lambda n: empty, client=client)
        self.assert_ended(sent, client, 100_000)
        self.assert_not_forwarded()

    def test_17_rapid_reset_is_ended(self):
        block = hpack.encode(self.WORK)

        def make(n):
            stream = 2 * n + 1
            return http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream, block) + \
                http2.frame(http2.RST_STREAM, 0, stream, struct.pack('!I', http2.CANCEL))
        self.assert_flood_ends(make)
        # What was opened before the end may have gone on; what came after it not.
        self.assertLess(self.app_worked() - self.worked, 5_000)

    def test_18_streams_that_the_proxy_must_reset_are_counted_too(self):
        block = hpack.encode(http2.request('/hang', authority='v1', method='POST'))
        for what, poison in (('window overflow', lambda s: http2.frame(http2.WINDOW_UPDATE, 0, s, struct.pack('!I', 0x7fffffff))),
                             ('empty window update', lambda s: http2.frame(http2.WINDOW_UPDATE, 0, s, bytes(4)))):
            with self.subTest(what):
                sent, client = self.flood(lambda n: http2.frame(http2.HEADERS, http2.END_HEADERS, 2 * n + 1, block) + poison(2 * n + 1),
                                          count=50_000, batch=50)
                # More is on its way by then than was taken: the last stream that was is in GOAWAY.
                self.assert_ended(sent, client, 50_000)
                self.assertLess(client.goaway[0] if client.goaway else 0, 2 * 10_000)
                client.close()

    def test_19_a_flood_of_pings_is_ended(self):
        self.assert_flood_ends(lambda n: http2.frame(http2.PING, 0, 0, bytes(8)))

    def test_19_a_flood_of_settings_is_ended(self):
        self.assert_flood_ends(lambda n: http2.frame(http2.SETTINGS, 0, 0))

    def test_19_a_flood_of_window_updates_is_ended(self):
        self.assert_flood_ends(lambda n: http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack('!I', 1)))

    def test_19_a_flood_of_priorities_is_ended(self):
        self.assert_flood_ends(lambda n: http2.frame(http2.PRIORITY, 0, 2 * (n % 1000) + 1, struct.pack('!IB', 0, 16)))

    def test_19_a_flood_of_empty_data_is_ended(self):
        client = self.speak(timeout=5)
        stream = client.ask(http2.request('/upload', method='POST', authority='v1'), end_stream=False)
        self.assert_flood_ends(lambda n: http2.frame(http2.DATA, 0, stream), client=client)

    def test_19_a_flood_of_unknown_frames_is_ended_or_costs_nothing(self):
        sent, client = self.flood(lambda n: http2.frame(99, 0, 0), count=50_000)
        self.assertEqual(self.curl('http://v1/').status, 200)

    def test_20_a_compressed_bomb_is_not_unpacked(self):
        bomb = hpack.encode(self.WORK) + hpack.encode_indexing('x-bomb', 'b' * 3900) + b'\xbe' * 12_000  # 47 MB of header list
        self.assert_bad(payload=bomb)
        cookies = hpack.encode(self.WORK) + hpack.encode_indexing('cookie', 'a=b') + b'\xbe' * 12_000
        self.assert_bad(payload=cookies)
        self.assert_not_forwarded()

    def test_20_answers_that_nobody_may_send_are_bounded(self):
        client = self.speak(timeout=5, greedy=False, initial_settings=http2.settings(initial_window=0))
        for _ in range(100):
            client.ask(http2.request('/big/10000000', authority='v1'))
        client.receive(lambda: len(client.responses) == 100, 3)
        time.sleep(1)
        for name in self.victims:
            growth = self.rss_kib(self.mesh.pods[name]) - self.before[name]
            if not self.sanitized:
                self.assertLess(growth, 100 * 1024, f'{name}: 100 streams hold {growth} KiB')
        self.before = {name: self.rss_kib(self.mesh.pods[name]) for name in self.victims}
        client.close()

    def test_21_a_content_length_that_lies_is_reset_before_the_application_answers(self):
        lying = http2.request('/work', method='POST', authority='v1') + [('content-length', '5')]
        self.assert_bad(lying)
        self.assert_bad(lying, end_stream=False, then=lambda c, s: c.data(s, b'123', end_stream=True))
        self.assert_bad(lying, end_stream=False, then=lambda c, s: c.data(s, b'1234567', end_stream=True))
        self.assert_bad(lying + [('content-length', '6')], end_stream=False, then=lambda c, s: c.data(s, b'12345', end_stream=True))
        self.assert_not_forwarded()

    def test_22_trailers_that_do_not_end_the_stream_and_data_after_a_reset(self):
        post = http2.request('/upload', method='POST', authority='v1')
        self.assert_bad(post, end_stream=False, then=lambda c, s: c.send_frame(
            http2.HEADERS, http2.END_HEADERS, s, hpack.encode([('x-trailer', 'y')])))
        client = self.speak(timeout=3)
        for _ in range(200):
            stream = client.ask(post, end_stream=False)
            client.data(stream, b'abc')
            client.send_frame(http2.RST_STREAM, 0, stream, struct.pack('!I', http2.CANCEL))
            client.data(stream, b'def', end_stream=True)
        client.receive(lambda: client.goaway is not None, 1)
        client.close()

    def test_23_requests_without_a_place_are_refused(self):
        for fields in ([(':method', 'GET'), (':scheme', 'http'), (':authority', 'v1'), (':path', 'work')],
                       [(':method', 'GET'), (':scheme', 'http'), (':authority', 'v1'), (':path', '')],
                       [(':method', 'GET'), (':scheme', 'http'), (':authority', 'v1')],
                       [(':method', 'CONNECT')], [(':method', 'CONNECT'), (':authority', '')],
                       [(':method', 'GET'), (':path', '/work'), (':authority', 'v1')],
                       [(':method', 'GET'), (':method', 'GET'), (':scheme', 'http'), (':authority', 'v1'), (':path', '/work')],
                       [(':method', 'GET'), (':scheme', 'http'), (':path', '/work'), (':authority', 'v1'), (':strange', 'x')],
                       [(':method', 'GET'), (':scheme', 'http'), ('x', 'y'), (':path', '/work'), (':authority', 'v1')],
                       [(':method', 'GET'), (':scheme', 'http'), (':path', '/work#x'), (':authority', 'v1')]):
            with self.subTest(fields):
                self.assert_bad(fields)
        self.assert_not_forwarded()

    def test_24_a_mass_of_resets_takes_linear_time(self):
        started = time.monotonic()
        for _ in range(20):
            client = self.speak(timeout=3)
            client.receive(lambda: client.peer_settings, 3)
            block = hpack.encode(http2.request('/hang', authority='v1'))
            client.send(b''.join(http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 2 * n + 1, block) for n in range(100)))
            client.receive(lambda: False, 0.05)
            client.close()
        self.assertEqual(self.curl('http://v1/').status, 200)
        self.assertLess(time.monotonic() - started, 10)

    def test_25_fields_that_http2_forbids_are_refused(self):
        for field in (('Upper', 'x'), ('connection', 'close'), ('keep-alive', 'x'), ('proxy-connection', 'x'),
                      ('transfer-encoding', 'chunked'), ('upgrade', 'h2c'), ('te', 'gzip'), ('te', 'trailers, deflate'), ('', 'x'),
                      ('na me', 'x'), ('x', 'a\x00b'), ('x', 'a\rb'), ('x', 'a\nb'), ('x:y', 'z')):
            with self.subTest(field):
                self.assert_bad(self.WORK + [field])
        self.assert_not_forwarded()

    def test_a_host_that_disagrees_with_the_authority_is_refused_or_overruled(self):
        client = self.speak(timeout=3)
        response = client.get(http2.request('/echo', authority='v1') + [('host', 'v2')])
        if response.status == 200:
            hosts = [value for name, value in json.loads(response.body)['headers'] if name == 'host']
            self.assertEqual(hosts, ['v1'])
        client.close()


class OutboundHttp2AttackTest(Http2Attacks, AttackMesh):
    def open(self):
        return pod_socket.connect(self.client, self.mesh.services['v1'].ipv4, 80)


class MeshHttp2AttackTest(Http2Attacks, AttackMesh):
    """The attacker is a member of the mesh, with a certificate that is good."""

    victims = ('one',)

    def open(self):
        return pod_socket.connect_tls(self.legacy, self.one.ipv4, APP, *self.credentials, MESH_HTTP)

    def test_an_honest_member_is_served(self):
        client = self.speak()
        response = client.get(http2.request('/echo', authority='v1'))
        self.assertEqual(response.status, 200, response.heads)
        told = [value for name, value in json.loads(response.body)['headers'] if name == 'x-forwarded-client-cert']
        self.assertIn('URI=spiffe://demo.example/ns/demo/sa/intruder', told[0])
        client.close()

    def test_half_a_frame_and_silence_hurts_nobody(self):
        socks = []
        for _ in range(50):
            sock = self.open()
            sock.sendall(http2.PREFACE + http2.settings() + b'\x00\x00\x10\x01\x05\x00')
            socks.append(sock)
        self.assertEqual(self.curl('http://v1/').status, 200)
        for sock in socks:
            sock.close()


if __name__ == '__main__':
    netns_test.main()
