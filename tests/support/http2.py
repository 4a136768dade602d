"""An HTTP/2 client that does exactly what it is told, also what no client may do. Over any socket."""

import select
import ssl
import struct
import threading
import time

from tests.support import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 32
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, \
    REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(12)
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'


def frame(kind, flags, stream, payload=b''):
    return struct.pack('!I', len(payload))[1:] + struct.pack('!BBI', kind, flags, stream) + payload


def settings(**values):
    numbers = {'table_size': 1, 'enable_push': 2, 'max_streams': 3, 'initial_window': 4, 'max_frame': 5, 'max_list': 6}
    return frame(SETTINGS, 0, 0, b''.join(struct.pack('!HI', numbers[name], value) for name, value in values.items()))


def request(path='/', method='GET', authority='app', scheme='http', **more):
    return [(':method', method), (':scheme', scheme), (':authority', authority), (':path', path),
            *((name.replace('_', '-'), value) for name, value in more.items())]


class Response:
    def __init__(self):
        self.heads = []  # of informational responses, the final one, the trailers
        self.body = b''
        self.body_bytes = 0
        self.reset = None  # error code
        self.ended = False

    @property
    def status(self):
        return int(dict(self.heads[-1 if len(self.heads) == 1 else self._final()])[':status']) if self.heads else None

    def _final(self):
        return next((i for i, head in enumerate(self.heads) if dict(head).get(':status', '1')[0] != '1'), 0)

    @property
    def headers(self):
        return dict(self.heads[self._final()])

    @property
    def trailers(self):
        return dict(self.heads[-1]) if len(self.heads) - 1 > self._final() else {}

    @property
    def done(self):
        return self.ended or self.reset is not None


class Client:
    """`sock` is connected. Answers SETTINGS and PING by itself, and gives windows back unless `greedy` is False. One thread
    may send while another receives."""

    def __init__(self, sock, timeout=10.0, greedy=True, preface=True, initial_settings=None):
        self.socket = sock
        self.socket.setblocking(False)
        self._using = threading.Lock()  # TLS is one thread's at a time
        self._sending = threading.Lock()  # frames go out whole
        self.timeout = timeout
        self.greedy = greedy
        self.goaway = None  # (last stream, error code, words)
        self.closed = False  # by the peer
        self.responses = {}
        self.peer_settings = {}
        self.pongs = 0
        self.keep_bodies = True
        self._decoder = hpack.Decoder()
        self._buffer = b''
        self._block = None  # (stream, flags, fragments) of a header block that goes on
        self._next_stream = 1
        if preface:
            self.send(PREFACE + (settings() if initial_settings is None else initial_settings))

    # Sending.

    def _try(self, use, deadline, writing=False):
        """What `use()` of the socket says once that is possible."""
        while True:
            try:
                with self._using:
                    return use()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError from None
                select.select([] if writing else [self.socket], [self.socket] if writing else [], [], left)

    def send(self, data):
        deadline = time.monotonic() + self.timeout
        left = memoryview(data)
        try:
            with self._sending:
                while left:
                    left = left[self._try(lambda: self.socket.send(left), deadline, writing=True):]
        except TimeoutError:
            raise
        except OSError:
            self.closed = True

    def send_frame(self, kind, flags, stream, payload=b''):
        self.send(frame(kind, flags, stream, payload))

    def new_stream(self):
        stream = self._next_stream
        self._next_stream += 2
        return stream

    def ask(self, fields, end_stream=True, stream=None):
        """Sends a header block in one frame and returns the stream."""
        stream = stream or self.new_stream()
        self.send_frame(HEADERS, END_HEADERS | (END_STREAM if end_stream else 0), stream, hpack.encode(fields))
        return stream

    def data(self, stream, payload, end_stream=False):
        self.send_frame(DATA, END_STREAM if end_stream else 0, stream, payload)

    # Receiving.

    def receive(self, until, timeout=None):
        """Reads until `until()` is true, the connection has ended, or time is over; says whether it is true."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not until():
            left = deadline - time.monotonic()
            if left <= 0 or self.closed and not self._buffer:
                return bool(until())
            while not self._take_frame():
                try:
                    more = self._try(lambda: self.socket.recv(65536), deadline)
                except TimeoutError:
                    return bool(until())
                except (OSError, ValueError):  # closed by the other thread
                    more = b''
                if not more:
                    self.closed = True
                    self._buffer = b''
                    return bool(until())
                self._buffer += more
        return True

    def get(self, fields, timeout=None):
        """One request, whole; its Response (`done` is False if none came in time)."""
        return self.wait(self.ask(fields), timeout)

    def wait(self, stream, timeout=None):
        response = self.response(stream)
        self.receive(lambda: response.done, timeout)
        return response

    def response(self, stream):
        return self.responses.setdefault(stream, Response())

    def _take_frame(self):
        if len(self._buffer) < 9:
            return False
        size = int.from_bytes(self._buffer[:3], 'big')
        if len(self._buffer) < 9 + size:
            return False
        kind, flags = self._buffer[3], self._buffer[4]
        stream = int.from_bytes(self._buffer[5:9], 'big') & 0x7fffffff
        payload, self._buffer = self._buffer[9:9 + size], self._buffer[9 + size:]
        self._on_frame(kind, flags, stream, payload)
        return True

    def _on_frame(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            self.peer_settings.update(struct.iter_unpack('!HI', payload))
            self.send_frame(SETTINGS, ACK, 0)
        elif kind == PING:
            if flags & ACK:
                self.pongs += 1
            else:
                self.send_frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            last, code = struct.unpack('!II', payload[:8])
            self.goaway = (last & 0x7fffffff, code, payload[8:].decode(errors='replace'))
        elif kind == RST_STREAM:
            self.response(stream).reset = int.from_bytes(payload, 'big')
        elif kind == DATA:
            self._on_data(stream, flags, payload)
        elif kind == HEADERS:
            if flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            if flags & PRIORITY_FLAG:
                payload = payload[5:]
            self._block = [stream, flags, payload]
        elif kind == CONTINUATION:
            self._block[2] += payload
            self._block[1] |= flags & END_HEADERS
        if self._block and self._block[1] & END_HEADERS:
            stream, flags, block = self._block
            self._block = None
            self.response(stream).heads.append(self._decoder.decode(block))
            if flags & END_STREAM:
                self.response(stream).ended = True

    def _on_data(self, stream, flags, payload):
        response = self.response(stream)
        response.body_bytes += len(payload)
        if self.keep_bodies:
            response.body += payload
        if self.greedy and payload:
            update = struct.pack('!I', len(payload))
            self.send(frame(WINDOW_UPDATE, 0, 0, update) + frame(WINDOW_UPDATE, 0, stream, update))
        if flags & END_STREAM:
            response.ended = True

    def close(self):
        self.socket.close()
