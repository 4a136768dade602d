"""Captures the packets of an interface with tcpdump and says what was in them."""

import re
import signal
import struct
import subprocess
import time

from tests.support.mesh import MeshError

TLS_RECORDS = {20: 'change_cipher_spec', 21: 'alert', 22: 'handshake', 23: 'application_data'}
LEGACY_RECORD_VERSION = (b'\x03\x01', b'\x03\x03')  # RFC 8446, section 5.1
SUPPORTED_VERSIONS = 43
SERVER_NAME = 0
TUNNEL_PORT = 15008  # HBONE has no server name


class Capture:
    """tcpdump on one interface, from construction to stop()."""

    def __init__(self, interface, path, expression=''):
        self.path = path
        # Without immediate mode the kernel keeps packets for up to a second, and those are lost at the end.
        self._dump = subprocess.Popen(
            ['tcpdump', '--immediate-mode', '-i', interface, '-s', '0', '-B', '65536', '-U', '-n', '-Z', 'root', '-w', path] +
            expression.split(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True)
        line = ''
        for line in self._dump.stderr:
            if 'listening on' in line:
                return
        raise MeshError(f'tcpdump does not capture: {line.strip()}')

    def stop(self):
        """Returns the packets as a Traffic. MeshError if tcpdump lost any."""
        time.sleep(0.5)  # the last packets are on their way through the kernel
        self._dump.send_signal(signal.SIGINT)
        words = self._dump.stderr.read()
        self._dump.wait()
        lost = re.search(r'(\d+) packets? dropped by kernel', words)
        if lost and lost.group(1) != '0':
            raise MeshError(f'tcpdump lost {lost.group(1)} packets, so it proves nothing')
        with open(self.path, 'rb') as file:
            return Traffic(file.read())


class Stream:
    """One direction of a TCP connection."""

    def __init__(self, source, destination):
        self.source = source  # (address, port)
        self.destination = destination
        self.start = None  # sequence number after SYN
        self.segments = {}

    def add(self, sequence, syn, payload):
        if syn:
            self.start = (sequence + 1) & 0xffffffff
        elif payload and len(payload) > len(self.segments.get(sequence, b'')):
            self.segments[sequence] = payload

    def bytes(self):
        """What was sent, in order, as far as there is no gap."""
        return self._assemble()[0]

    def has_gap(self):
        return self._assemble()[1]

    def _assemble(self):
        if not self.segments:
            return b'', False
        start = self.start if self.start is not None else min(self.segments)
        data = bytearray()
        for offset, payload in sorted(((s - start) & 0xffffffff, p) for s, p in self.segments.items()):
            if offset > len(data):
                return bytes(data), True
            data[offset:offset + len(payload)] = payload
        return bytes(data), False


class Traffic:
    def __init__(self, pcap):
        self.packets = 0
        self.raw = pcap
        self.streams = {}
        self._read(pcap)

    def _read(self, pcap):
        magic = pcap[:4]
        order = {b'\xd4\xc3\xb2\xa1': '<', b'\xa1\xb2\xc3\xd4': '>'}.get(magic)
        if order is None:
            raise MeshError('not a capture file')
        at = 24
        while at + 16 <= len(pcap):
            length = struct.unpack(order + 'I', pcap[at + 8:at + 12])[0]
            self._packet(pcap[at + 16:at + 16 + length])
            at += 16 + length

    def _packet(self, frame):
        kind = struct.unpack('!H', frame[12:14])[0]
        packet = frame[14:]
        if kind == 0x0800 and packet[9] == 6:
            header = (packet[0] & 15) * 4
            total = struct.unpack('!H', packet[2:4])[0]
            source, destination = ('.'.join(map(str, packet[i:i + 4])) for i in (12, 16))
        elif kind == 0x86dd and packet[6] == 6:
            header = 40
            total = 40 + struct.unpack('!H', packet[4:6])[0]
            source, destination = (packet[i:i + 16].hex(':', 2) for i in (8, 24))
        else:
            return
        self.packets += 1
        # A length of 0 is a packet larger than 64 KiB that the kernel has not cut up (BIG TCP).
        tcp = packet[header:total] if total > header else packet[header:]
        ports = struct.unpack('!HH', tcp[:4])
        sequence = struct.unpack('!I', tcp[4:8])[0]
        flags = tcp[13]
        key = ((source, ports[0]), (destination, ports[1]))
        if flags & 2 and key in self.streams and self.streams[key].segments:
            key_free = (key, len(self.streams))
            self.streams[key_free] = self.streams.pop(key)  # the ports are used again
        stream = self.streams.setdefault(key, Stream(*key))
        stream.add(sequence, bool(flags & 2), tcp[(tcp[12] >> 4) * 4:])

    def find(self, plaintext):
        """How many streams carry these bytes."""
        return sum(1 for stream in self.streams.values() if plaintext in stream.bytes())

    def with_payload(self):
        return [s for s in self.streams.values() if s.segments]


def records(data):
    """TLS records as (type, body); ValueError at the first byte that is no record. A cut-off last one is left out."""
    at = 0
    while at + 5 <= len(data):
        kind, version, length = data[at], data[at + 1:at + 3], struct.unpack('!H', data[at + 3:at + 5])[0]
        if kind not in TLS_RECORDS or version not in LEGACY_RECORD_VERSION or length > 16384 + 256:
            raise ValueError(f'at byte {at}: {data[at:at + 16]!r}')
        if at + 5 + length > len(data):
            break
        yield kind, data[at + 5:at + 5 + length]
        at += 5 + length


def hello(data):
    """(handshake type, extensions) of the first handshake message, which is a ClientHello or a ServerHello."""
    kind, body = next(records(data), (0, b''))
    if kind != 22 or body[0] not in (1, 2):
        raise ValueError('does not begin with a hello')
    at = 4 + 2 + 32
    at += 1 + body[at]  # session id
    if body[0] == 1:
        at += 2 + struct.unpack('!H', body[at:at + 2])[0]  # cipher suites
        at += 1 + body[at]  # compression
    else:
        at += 3
    end = at + 2 + struct.unpack('!H', body[at:at + 2])[0]
    at += 2
    extensions = {}
    while at + 4 <= end:
        number, length = struct.unpack('!HH', body[at:at + 4])
        extensions[number] = body[at + 4:at + 4 + length]
        at += 4 + length
    return body[0], extensions


def why_not_tls13(stream):
    """None if the stream is TLS 1.3 from its first byte to its last, else what it is instead."""
    data = stream.bytes()
    if stream.has_gap():
        return f'a gap after {len(data)} bytes'
    try:
        kind, extensions = hello(data)
        versions = extensions.get(SUPPORTED_VERSIONS, b'')
        # gRPC's client offers older versions as well; what counts is what the server picks, and ours never picks those.
        if kind == 1 and b'\x03\x04' not in versions:
            return f'a ClientHello that offers versions {versions.hex()}'
        if kind == 2 and versions != b'\x03\x04':
            return f'a ServerHello that picks {versions.hex() or "an old version"}'
        if kind == 1 and SERVER_NAME in extensions and stream.destination[1] == TUNNEL_PORT:
            return 'a ClientHello that tells a server name'
        for _ in records(data):
            pass
    except (ValueError, IndexError, struct.error) as e:
        return f'not TLS: {e}'
    return None
