"""An HTTP/1.1 application whose every answer can be asked for. Runs by itself: `http_app.py PORT [NAME]`.

  /echo             JSON: how the request arrived (method, target, version, header fields in order, body, trailers) and NAME
  /work             NAME, or what /set?status=N&delay=MS asked for; counted
  /set?...          sets that; `/set` puts it back
  /counts           JSON: requests to /work, connections accepted, connections open
  /status/N         answers with that status
  /delay/MS         answers after that
  /big/BYTES        that many bytes of pattern(), with content-length; /chunked/BYTES the same in chunks, with a trailer
  /until-close      a body that ends with the connection
  /early            103 before 200;  /refuse-expect  417 without reading the body
  /upload           reads all and answers with JSON: bytes and SHA-256;  /sip  the same at 1 MB/s
  /hang             never answers;  /half  half a body, then silence;  /cut  half a body, then the end
  /reset            resets the connection;  /close  ends it without an answer;  /garbage  answers with no HTTP
  /twice            answers twice;  /bad-length  both lengths;  /upgrade-anyway  101 to whom did not ask

Standard library alone, a thread a connection, and no HTTP library: it must be able to break the rules. SIGTERM: takes
no new connections, finishes what it has begun with `connection: close`, and ends.
"""

import hashlib
import json
import signal
import socket
import struct
import sys
import threading
import time
import urllib.parse

BLOCK = bytes(range(256)) * 1024  # 256 KiB


def pattern(size):
    """`size` bytes that begin anew every 256 KiB, in pieces."""
    while size > 0:
        piece = BLOCK if size >= len(BLOCK) else BLOCK[:size]
        size -= len(piece)
        yield piece


def pattern_digest(size):
    sha = hashlib.sha256()
    for piece in pattern(size):
        sha.update(piece)
    return sha.hexdigest()


class Ended(Exception):
    """The caller has gone, or wants no more."""


class Request:
    """One request as it arrived; the body is read on demand."""

    def __init__(self, connection, file):
        self._connection = connection
        self._file = file
        line = file.readline(65536)
        if not line.endswith(b'\r\n'):
            raise Ended
        self.method, self.target, self.version = line.decode('latin-1').rstrip('\r\n').split(' ', 2)
        self.path, _, query = self.target.partition('?')
        self.query = dict(urllib.parse.parse_qsl(query))
        self.headers = self._read_fields()
        self.trailers = []
        self._expects = self.header('expect').lower() == '100-continue'
        self.body_read = False

    def _read_fields(self):
        fields = []
        while True:
            line = self._file.readline(1 << 20)
            if not line.endswith(b'\r\n'):
                raise Ended
            if line == b'\r\n':
                return fields
            name, _, value = line.decode('latin-1').rstrip('\r\n').partition(':')
            fields.append([name.lower(), value.strip()])

    def header(self, name):
        return next((value for found, value in self.headers if found == name), '')

    @property
    def keep_alive(self):
        return self.version == 'HTTP/1.1' and 'close' not in self.header('connection').lower()

    def body(self, pause=0.0):
        """Pieces of the body; asks for it first where the caller waits for that."""
        if self.body_read:
            return
        self.body_read = True
        if self._expects:
            self._connection.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        if 'chunked' in self.header('transfer-encoding').lower():
            while size := int(self._file.readline(1024).split(b';')[0], 16):
                yield from self._pieces(size, pause)
                self._file.readline(4)
            self.trailers = self._read_fields()
        else:
            yield from self._pieces(int(self.header('content-length') or 0), pause)

    def _pieces(self, size, pause):
        while size > 0:
            piece = self._file.read1(min(size, 65536))
            if not piece:
                raise Ended
            size -= len(piece)
            if pause:
                time.sleep(pause * len(piece))
            yield piece

    def digest(self, pause=0.0):
        total, sha = 0, hashlib.sha256()
        for piece in self.body(pause):
            total += len(piece)
            sha.update(piece)
        return total, sha.hexdigest()


class Application:
    def __init__(self, name):
        self.name = name
        self.status, self.delay = 200, 0.0
        self.worked = self.accepted = self.open = self.busy = 0
        self.ending = False
        self._lock = threading.Lock()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self.accepted += 1
            self.open += 1
        busy = False
        try:
            with connection, connection.makefile('rb') as file:
                while True:
                    request = Request(connection, file)
                    with self._lock:
                        self.busy += 1
                    busy = True
                    self.answer(connection, request)
                    for _ in request.body():
                        pass
                    with self._lock:
                        self.busy -= 1
                    busy = False
                    if not request.keep_alive or self.ending:
                        return
        except (Ended, OSError, ValueError):
            pass
        finally:
            with self._lock:
                self.open -= 1
                self.busy -= busy

    # What is answered.

    def send(self, connection, status, body=b'', fields=(), head_only=False):
        head = [f'HTTP/1.1 {status} {"OK" if status == 200 else "As asked"}', f'x-app: {self.name}', *fields]
        if status != 204:  # RFC 9110, section 8.6
            head += [f'content-length: {len(body)}', 'content-type: text/plain']
        if self.ending:
            head.append('connection: close')
        data = '\r\n'.join(head).encode() + b'\r\n\r\n'
        connection.sendall(data if head_only or status in (204, 304) else data + body)

    def answer(self, connection, request):
        parts = request.path.strip('/').split('/')
        behave = getattr(self, 'do_' + parts[0].replace('-', '_'), None)
        if behave is None:
            self.send(connection, 200, f'{self.name} {request.method} {request.target}\n'.encode(),
                      head_only=request.method == 'HEAD')
        else:
            behave(connection, request, *parts[1:])

    def do_echo(self, connection, request, *_):
        total, digest = request.digest()
        self.send_json(connection, request, {
            'name': self.name, 'method': request.method, 'target': request.target, 'version': request.version,
            'headers': request.headers, 'trailers': request.trailers, 'bytes': total, 'sha256': digest})

    def send_json(self, connection, request, value):
        self.send(connection, 200, json.dumps(value).encode() + b'\n', head_only=request.method == 'HEAD')

    def do_work(self, connection, request):
        # A request counts when it is there whole: a head may be on its way before its body turns out to be a lie.
        request.digest()
        with self._lock:
            self.worked += 1
        if self.delay:
            time.sleep(self.delay)
        self.send(connection, self.status, f'{self.name}\n'.encode())

    def do_set(self, connection, request):
        self.status = int(request.query.get('status', 200))
        self.delay = float(request.query.get('delay', 0)) / 1000
        self.send(connection, 200, b'set\n')

    def do_counts(self, connection, request):
        self.send_json(connection, request, {'work': self.worked, 'accepted': self.accepted, 'open': self.open})

    def do_status(self, connection, request, status):
        request.digest()
        self.send(connection, int(status), f'status {status}\n'.encode())

    def do_delay(self, connection, request, milliseconds):
        time.sleep(int(milliseconds) / 1000)
        self.send(connection, 200, b'late\n')

    def do_big(self, connection, request, size):
        connection.sendall(f'HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n'.encode())
        if request.method != 'HEAD':
            for piece in pattern(int(size)):
                connection.sendall(piece)

    def do_chunked(self, connection, request, size):
        connection.sendall(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-digest\r\n\r\n')
        for piece in pattern(int(size)):
            connection.sendall(b'%x\r\n' % len(piece) + piece + b'\r\n')
        connection.sendall(f'0\r\nx-digest: {pattern_digest(int(size))}\r\n\r\n'.encode())

    def do_until_close(self, connection, request):
        connection.sendall(b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall there is')
        raise Ended

    def do_early(self, connection, request):
        connection.sendall(b'HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n')
        time.sleep(0.2)
        self.send(connection, 200, b'after hints\n')

    def do_refuse_expect(self, connection, request):
        self.send(connection, 417, b'not wanted\n', ['connection: close'])
        raise Ended

    def do_upload(self, connection, request):
        total, digest = request.digest()
        self.send_json(connection, request, {'bytes': total, 'sha256': digest})

    def do_sip(self, connection, request):
        total, digest = request.digest(pause=1e-6)
        self.send_json(connection, request, {'bytes': total, 'sha256': digest})

    def do_hang(self, connection, request):
        connection.recv(1)
        raise Ended

    def do_half(self, connection, request):
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.')
        self.do_hang(connection, request)

    def do_cut(self, connection, request):
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.')
        raise Ended

    def do_reset(self, connection, request):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        raise Ended

    def do_close(self, connection, request):
        raise Ended

    def do_garbage(self, connection, request):
        connection.sendall(b'220 this is no HTTP\r\n\r\n')
        raise Ended

    def do_twice(self, connection, request):
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond')

    def do_bad_length(self, connection, request):
        connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n')

    def do_upgrade_anyway(self, connection, request):
        connection.sendall(b'HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n')
        self.do_hang(connection, request)


def main():
    application = Application(sys.argv[2] if len(sys.argv) > 2 else 'app')
    listener = socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=application.serve, args=(connection,), daemon=True).start()

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    threading.Thread(target=accept, daemon=True).start()
    print('ready', flush=True)
    ended.wait()
    application.ending = True
    listener.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 10
    while application.busy and time.monotonic() < deadline:
        time.sleep(0.02)


if __name__ == '__main__':
    main()
