"""Who says nothing, and what tries to pass for no HTTP in order to be believed."""

import time

from tests.support import forgery, http2, netns_test, pod_socket
from tests.support.http_mesh import APP, LENIENT, HttpMesh
from tests.support.mesh import STATE


class FramingMesh(HttpMesh):
    pods = ('files',)

    @classmethod
    def configure(cls, mesh):
        mesh.write_mesh(more='  http:\n    requestHeadersTimeout: 3s\n    idleTimeout: 3s\n')

    @staticmethod
    def say(sock, raw, timeout=4.0):
        with sock:
            sock.sendall(raw)
            return pod_socket.read_until_end(sock, timeout)[0]


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

    def test_a_member_that_has_no_sidecar_cannot_be_another(self):
        echo = self.REQUEST.replace(b'/identity', b'/echo')
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
