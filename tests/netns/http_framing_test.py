"""HTTP as it is allowed to be and seldom is, through two sidecars; who says nothing; and what tries to pass for no HTTP in order to be
believed."""

import json
import threading
import time

from tests.support import forgery, http2, netns_test, pod_socket
from tests.support.http_mesh import APP, LENIENT, HttpMesh
from tests.support.mesh import STATE


class FramingMesh(HttpMesh):
    pods = ('files',)

    @classmethod
    def configure(cls, mesh):
        mesh.write_mesh(more='  http:\n    requestHeadersTimeout: 3s\n    idleTimeout: 3s\n')

    def to_service(self):
        return pod_socket.connect(self.client, self.mesh.services['v1'].ipv4, 80)

    @staticmethod
    def say(sock, raw, timeout=4.0):
        with sock:
            sock.sendall(raw)
            return pod_socket.read_until_end(sock, timeout)[0]


class LegalTest(FramingMesh):
    def upload(self, framing):
        data = self.say(self.to_service(), b'POST /upload HTTP/1.1\r\nHost: v1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n' + framing)
        self.assertTrue(data.startswith(b'HTTP/1.1 200'), data[:300])
        return json.loads(data.partition(b'\r\n\r\n')[2])['bytes']

    def test_chunks_may_have_extensions_and_leading_zeros(self):
        for framing, size in ((b'5;a=b\r\nabcde\r\n0;last\r\n\r\n', 5), (b'0005;a="b;c\\"d"\r\nabcde\r\n000\r\n\r\n', 5),
                              (b'1\r\nx\r\n' * 1000 + b'0\r\n\r\n', 1000),
                              ((b'400;chunk-signature=' + b'f' * 64 + b'\r\n' + b'x' * 1024 + b'\r\n') * 20 + b'0\r\n\r\n', 20 * 1024)):
            with self.subTest(framing[:40]):
                self.assertEqual(self.upload(framing), size)

    def test_a_head_at_the_limit_passes_both_sidecars(self):
        fields = [(f'x-{n}', 'v') for n in range(100)]
        client = http2.Client(self.to_service())
        self.assertEqual(client.get(http2.request('/', authority='v1') + fields).status, 200)
        client.close()
        # As the limit of 60 KiB is reckoned: name, value and 32 for each field (RFC 9113, section 10.5.1).
        names = [b'X-%d' % n for n in range(97)]
        left = 60 * 1024 - sum(len(name) + 32 for name in names) - len('hostv1connectionclose') - 2 * 32
        head = b''.join(name + b': ' + b'v' * (left // len(names)) + b'\r\n' for name in names)
        data = self.say(self.to_service(), b'GET / HTTP/1.1\r\nHost: v1\r\nConnection: close\r\n' + head + b'\r\n')
        self.assertTrue(data.startswith(b'HTTP/1.1 200'), data[:300])

    def test_an_absolute_target_may_name_the_same_host_in_other_words(self):
        for target in (b'http://v1/echo', b'http://V1/echo', b'http://v1:80/echo'):
            data = self.say(self.to_service(), b'GET ' + target + b' HTTP/1.1\r\nHost: v1\r\nConnection: close\r\n\r\n')
            with self.subTest(target):
                self.assertTrue(data.startswith(b'HTTP/1.1 200'), data[:300])


class RefusalTest(FramingMesh):
    """What the codecs refuse says so as every other answer of the proxy's own does."""

    def test_a_refusal_has_a_reason_for_programs_and_a_flag(self):
        for raw, status, reason in ((b'GET / HTTP/1.1\r\nHost: v1\r\nContent-Length: x\r\n\r\n', 400, b'bad_request'),
                                    (b'GET / HTTP/1.1\r\nHost: v1\r\n' + b'X: y\r\n' * 200 + b'\r\n', 431, b'headers_too_large'),
                                    (b'GET /' + b'a' * 20_000 + b' HTTP/1.1\r\nHost: v1\r\n\r\n', 414, b'request_line_too_long'),
                                    (b'GET / HTTP/1.1\r\nHost: v1\r\n', 408, b'request_headers_timeout')):
            with self.subTest(reason):
                data = self.say(self.to_service(), raw, 6)
                self.assertTrue(data.startswith(b'HTTP/1.1 %d' % status), data[:300])
                self.assertIn(b'\r\nx-countersign-reason: ' + reason + b'\r\n', data.lower())
                self.assertIn(b'\r\nx-countersign-flags: dpe\r\n', data.lower())


class SilenceTest(FramingMesh):
    def test_who_connects_and_says_nothing_is_let_go(self):
        for name, pod, address, port in (('out', self.client, self.mesh.services['v1'].ipv4, 80), ('in', self.legacy, self.one.ipv4, APP)):
            with self.subTest(name), pod_socket.connect(pod, address, port) as sock:
                started = time.monotonic()
                self.assertIn(pod_socket.read_until_end(sock, 12)[1], ('end', 'reset'))
                self.assertGreater(time.monotonic() - started, 1)


class ForgeryTest(FramingMesh):
    """An application that reads leniently must not be told by its caller who the caller is."""

    REQUEST = (b'GET /identity HTTP/1.1\r\nHost: files\r\nConnection: close\r\n'
               b'X-Forwarded-Client-Cert: By=spiffe://demo.example/ns/demo/sa/files;URI=spiffe://demo.example/ns/demo/sa/forged\r\n\r\n')

    def setUp(self):
        if not hasattr(ForgeryTest, 'credentials'):
            forger = forgery.Forger.of_the_mesh(f'{STATE}/forged', self.mesh)
            ForgeryTest.credentials = forger.leaf('member', ['spiffe://demo.example/ns/demo/sa/member'])

    def test_what_is_nearly_http_brings_no_forged_identity(self):
        get = self.REQUEST
        nearly = {'as it should be': get, 'empty lines': b'\r\n' * 5 + get, 'a line feed': b'\n' + get, 'lower case': get.replace(b'GET', b'get'),
                  'line feeds alone': get.replace(b'\r\n', b'\n')}
        declared = {'a space before it': b' ' + get, 'two spaces in it': get.replace(b' ', b'  ', 1), 'no version': get.replace(b' HTTP/1.1', b'')}
        for name, pod in (('member', self.client), ('stranger', self.legacy)):
            for port, shapes in ((LENIENT, nearly), (80, {**nearly, **declared})):
                for what, raw in shapes.items():
                    with self.subTest(f'{name}: {what}', port=port):
                        data = self.say(pod_socket.connect(pod, self.files.ipv4, port), raw)
                        self.assertNotIn(b'sa/forged', data)
                        if what == 'as it should be' and name == 'member':
                            self.assertIn(b'sa/client', data, 'the application is told nothing, so this proves nothing')

    def test_what_comes_slowly_is_http_all_the_same(self):
        """Where HTTP is declared, a time-out must not turn a request into bytes that nobody looks at."""
        echo = self.REQUEST.replace(b'/identity', b'/echo')
        met = {}

        def call(name, sock, raw, first):
            sock.sendall(raw[:first])
            time.sleep(13)
            try:
                met[name] = self.say(sock, raw[first:])
            except OSError:
                met[name] = b''  # refused meanwhile
        threads = [threading.Thread(target=call, args=arguments) for arguments in (
            ('member', self.to_service(), echo.replace(b'GET', b'POST'), 1),
            ('stranger', pod_socket.connect(self.legacy, self.one.ipv4, APP), echo.replace(b'GET', b'POST'), 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(met), len(threads))
        for name, data in met.items():
            with self.subTest(name):
                self.assertNotIn(b'sa/forged', data)

    def test_a_member_that_has_no_sidecar_cannot_be_another(self):
        echo = self.REQUEST.replace(b'/identity', b'/echo')
        with self.subTest('straight to a port that declares HTTP, as if for TCP'):
            try:
                data = self.say(pod_socket.connect_tls(self.legacy, self.one.ipv4, APP, *self.credentials, 'countersign'), echo)
            except OSError:
                data = b''  # refused
            self.assertNotIn(b'sa/forged', data)
        for port in (APP, LENIENT):
            pod, raw = (self.one, echo) if port == APP else (self.files, self.REQUEST)
            with self.subTest('through a tunnel', port=port):
                client = http2.Client(pod_socket.connect_tls(self.legacy, pod.ipv4, 15008, *self.credentials, 'h2'), timeout=4)
                stream = client.ask([(':method', 'CONNECT'), (':authority', f'{pod.ipv4}:{port}')], end_stream=False)
                response = client.response(stream)
                client.receive(lambda: response.heads or response.done)
                client.data(stream, raw)
                client.wait(stream)
                client.close()
                self.assertIn(b'HTTP/1.1 200', response.body)
                self.assertNotIn(b'sa/forged', response.body)
                self.assertIn(b'sa/member', response.body)


if __name__ == '__main__':
    netns_test.main()
