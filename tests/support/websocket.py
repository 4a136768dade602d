"""WebSocket (RFC 6455), as little as it takes: `websocket.py serve PORT` echoes; `websocket.py talk ADDRESS PORT ...`
converses and prints what it met. Frames are text or binary, unfragmented, up to 2**32 bytes."""

import base64
import hashlib
import os
import socket
import struct
import sys
import threading

GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept_key(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def read_head(file):
    """(first line, {name: value}) of a request or a response."""
    first = file.readline().decode().strip()
    fields = {}
    while line := file.readline().decode().strip():
        name, _, value = line.partition(':')
        fields[name.lower()] = value.strip()
    return first, fields


def write_frame(connection, opcode, payload, masked):
    head = bytes([0x80 | opcode])
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack('!H', size)
    else:
        head += bytes([bit | 127]) + struct.pack('!Q', size)
    if masked:
        key = os.urandom(4)
        mask = int.from_bytes(key * (size // 4 + 1), 'big') >> 8 * (4 - size % 4)
        head += key
        payload = (int.from_bytes(payload, 'big') ^ mask).to_bytes(size, 'big') if size else b''
    connection.sendall(head + payload)


def read_frame(file):
    """(opcode, payload), or None at the end."""
    head = file.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7f
    if size == 126:
        size, = struct.unpack('!H', file.read(2))
    elif size == 127:
        size, = struct.unpack('!Q', file.read(8))
    key = file.read(4) if head[1] & 0x80 else None
    payload = file.read(size)
    if key and size:
        mask = int.from_bytes(key * (size // 4 + 1), 'big') >> 8 * (4 - size % 4)
        payload = (int.from_bytes(payload, 'big') ^ mask).to_bytes(size, 'big')
    return head[0] & 0x0f, payload


def echo(connection):
    with connection, connection.makefile('rb') as file:
        first, fields = read_head(file)
        if fields.get('upgrade', '').lower() != 'websocket':
            body = b'a WebSocket is wanted here\n'
            connection.sendall(b'HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: %d\r\n\r\n' % len(body) + body)
            return
        connection.sendall((f'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                            f'Sec-WebSocket-Accept: {accept_key(fields["sec-websocket-key"])}\r\n\r\n').encode())
        while frame := read_frame(file):
            opcode, payload = frame
            write_frame(connection, PONG if opcode == PING else opcode, payload, masked=False)
            if opcode == CLOSE:
                return


def serve(port):
    listener = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    print('ready', flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


class Client:
    def __init__(self, address, port, path='/chat', timeout=20):
        self.connection = socket.create_connection((address, port), timeout=timeout)
        self.file = self.connection.makefile('rb')
        key = base64.b64encode(os.urandom(16)).decode()
        host = f'[{address}]' if ':' in address else address
        self.connection.sendall((f'GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
                                 f'Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n').encode())
        self.status, fields = read_head(self.file)
        self.right = fields.get('sec-websocket-accept') == accept_key(key) and \
            'upgrade' in fields.get('connection', '').lower()

    def call(self, opcode, payload):
        write_frame(self.connection, opcode, payload, masked=True)
        return read_frame(self.file)


def talk(address, port, *sizes):
    """Messages of these sizes, a ping and the closing handshake; `right`, or what was wrong."""
    client = Client(address, port)
    if ' 101 ' not in client.status + ' ' or not client.right:
        return f'no WebSocket: {client.status}'
    for size in map(int, sizes):
        message = os.urandom(size)
        if client.call(BINARY, message) != (BINARY, message):
            return f'a message of {size} bytes came back otherwise'
    if client.call(PING, b'there?') != (PONG, b'there?'):
        return 'no pong'
    if client.call(CLOSE, b'') != (CLOSE, b''):
        return 'no closing handshake'
    return 'right' if client.file.read() == b'' else 'bytes after the end'


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(int(sys.argv[2]))
    print(talk(sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
