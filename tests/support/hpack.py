"""HPACK (RFC 7541): an encoder that never compresses, and a decoder that understands everything."""

STATIC = [line.split('|') for line in """\
:authority|
:method|GET
:method|POST
:path|/
:path|/index.html
:scheme|http
:scheme|https
:status|200
:status|204
:status|206
:status|304
:status|400
:status|404
:status|500
accept-charset|
accept-encoding|gzip, deflate
accept-language|
accept-ranges|
accept|
access-control-allow-origin|
age|
allow|
authorization|
cache-control|
content-disposition|
content-encoding|
content-language|
content-length|
content-location|
content-range|
content-type|
cookie|
date|
etag|
expect|
expires|
from|
host|
if-match|
if-modified-since|
if-none-match|
if-range|
if-unmodified-since|
last-modified|
link|
location|
max-forwards|
proxy-authenticate|
proxy-authorization|
range|
referer|
refresh|
retry-after|
server|
set-cookie|
strict-transport-security|
transfer-encoding|
user-agent|
vary|
via|
www-authenticate|""".splitlines()]

# Lengths of the codes of bytes 0 to 255 and of the end (appendix B). The code is canonical: of equal length in the order of
# the bytes, so that the lengths are all there is to know.
_LENGTHS = [int(n) for n in """\
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30""".split()]


def _codes():
    found, code, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(_LENGTHS)):
        code <<= length - before
        found[(length, code)] = symbol
        code, before = code + 1, length
    return found


_CODES = _codes()


def huffman_decode(data):
    out, code, length = bytearray(), 0, 0
    for byte in data:
        for bit in range(7, -1, -1):
            code, length = code << 1 | byte >> bit & 1, length + 1
            symbol = _CODES.get((length, code))
            if symbol is not None:
                out.append(symbol)
                code = length = 0
    return bytes(out)


def integer(value, bits, first=0):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(text):
    data = text if isinstance(text, bytes) else text.encode('latin-1')
    return integer(len(data), 7) + data


def encode(fields):
    """Every field as a literal without indexing, whatever is in it."""
    return b''.join(b'\0' + literal(name) + literal(value) for name, value in fields)


def encode_indexing(name, value):
    """A field that the peer must keep in its table; it has index 62 then."""
    return b'\x40' + literal(name) + literal(value)


class Decoder:
    def __init__(self, size=4096):
        self._table, self._size = [], size

    def decode(self, data):
        fields, at = [], 0
        while at < len(data):
            byte = data[at]
            if byte & 0x80:
                index, at = self._integer(data, at, 7)
                fields.append(tuple(self._entry(index)))
            elif byte & 0xe0 == 0x20:
                self._size, at = self._integer(data, at, 5)
                self._evict()
            else:
                indexing = byte & 0xc0 == 0x40
                index, at = self._integer(data, at, 6 if indexing else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = self._string(data, at)
                value, at = self._string(data, at)
                fields.append((name, value))
                if indexing:
                    self._table.insert(0, (name, value))
                    self._evict()
        return fields

    def _entry(self, index):
        return STATIC[index - 1] if index <= len(STATIC) else self._table[index - len(STATIC) - 1]

    def _evict(self):
        while sum(len(n) + len(v) + 32 for n, v in self._table) > self._size:
            self._table.pop()

    @staticmethod
    def _integer(data, at, bits):
        limit = (1 << bits) - 1
        value, at = data[at] & limit, at + 1
        if value == limit:
            shift = 0
            while True:
                byte, at = data[at], at + 1
                value += (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    break
        return value, at

    def _string(self, data, at):
        huffman = data[at] & 0x80
        size, at = self._integer(data, at, 7)
        raw = data[at:at + size]
        return (huffman_decode(raw) if huffman else raw).decode('latin-1'), at + size
