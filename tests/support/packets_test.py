"""The judge of the wire must not be fooled: real TLS of two versions, plaintext, gaps, retransmissions."""

import os
import ssl
import struct
import subprocess
import tempfile
import unittest

from tests.support.packets import Stream, Traffic, why_not_tls13

FILE_HEADER = struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1)


def handshake(version):
    """(what the client sent, what the server sent) of a real handshake with a little data."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, 'key'), os.path.join(folder, 'certificate')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
                        '-subj', '/CN=x', '-keyout', key, '-out', certificate], check=True, capture_output=True)
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(certificate, key)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    server_context.maximum_version = version
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    from_client, from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, from_client)
    server = server_context.wrap_bio(to_server, from_server, server_side=True)
    sent_by_client, sent_by_server = b'', b''
    steps = [client.do_handshake, server.do_handshake, lambda: client.write(b'hello'), lambda: server.write(b'hello')]
    while steps:
        for step in list(steps):
            try:
                step()
                steps.remove(step)
            except ssl.SSLWantReadError:
                pass
            piece = from_client.read()
            sent_by_client += piece
            to_server.write(piece)
            piece = from_server.read()
            sent_by_server += piece
            to_client.write(piece)
    return sent_by_client, sent_by_server


def stream(data):
    s = Stream(('10.0.0.1', 1), ('10.0.0.2', 2))
    s.add(99, True, b'')
    s.add(100, False, data)
    return s


def frame(payload, sequence, flags=0x18, ipv6=False, ports=(1000, 80)):
    tcp = struct.pack('!HHIIBBHHH', *ports, sequence, 0, 5 << 4, flags, 1000, 0, 0) + payload
    if ipv6:
        header = struct.pack('!IHBB', 6 << 28, len(tcp), 6, 64) + bytes(15) + b'\x01' + bytes(15) + b'\x02'
        packet = b'\x86\xdd' + header + tcp
    else:
        header = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + bytes((10, 0, 0, 1)) + bytes((10, 0, 0, 2))
        packet = b'\x08\x00' + header + tcp
    whole = bytes(12) + packet
    return struct.pack('<IIII', 0, 0, len(whole), len(whole)) + whole


class JudgeTest(unittest.TestCase):
    def test_tls13_is_recognised_from_both_sides(self):
        for sent in handshake(ssl.TLSVersion.TLSv1_3):
            self.assertIsNone(why_not_tls13(stream(sent)))

    def test_tls12_is_caught_by_what_the_server_picks(self):
        _, by_server = handshake(ssl.TLSVersion.TLSv1_2)
        self.assertIn('ServerHello', why_not_tls13(stream(by_server)))

    def test_plaintext_is_caught_alone_and_behind_tls(self):
        by_client, _ = handshake(ssl.TLSVersion.TLSv1_3)
        self.assertIn('not TLS', why_not_tls13(stream(b'GET / HTTP/1.1\r\n\r\n')))
        self.assertIn('not TLS', why_not_tls13(stream(by_client + b'GET / HTTP/1.1\r\n\r\n')))

    def test_records_without_a_hello_do_not_pass(self):
        self.assertIsNotNone(why_not_tls13(stream(b'\x17\x03\x03\x00\x05hello')))


class TrafficTest(unittest.TestCase):
    def test_segments_are_put_in_order_and_repeats_are_counted_once(self):
        for ipv6 in (False, True):
            pcap = FILE_HEADER + b''.join((
                frame(b'', 2**32 - 3, flags=2, ipv6=ipv6), frame(b'secret', 4, ipv6=ipv6), frame(b'a s', 2**32 - 2, ipv6=ipv6),
                frame(b'mall', 1, ipv6=ipv6)[:-1] + b' ', frame(b'secret', 4, ipv6=ipv6)))
            traffic = Traffic(pcap)
            self.assertEqual(traffic.packets, 5)
            self.assertEqual([s.bytes() for s in traffic.with_payload()], [b'a smalsecret'])
            self.assertEqual(traffic.find(b'lsecret'), 1)

    def test_ports_that_are_used_again_are_two_streams(self):
        pcap = FILE_HEADER + b''.join((frame(b'', 9, flags=2), frame(b'one', 10), frame(b'', 500, flags=2), frame(b'two', 501)))
        self.assertEqual(sorted(s.bytes() for s in Traffic(pcap).with_payload()), [b'one', b'two'])

    def test_a_gap_ends_what_is_known_and_is_no_tls(self):
        pcap = FILE_HEADER + frame(b'', 9, flags=2) + frame(b'one', 10) + frame(b'three', 20)
        self.assertEqual([s.bytes() for s in Traffic(pcap).with_payload()], [b'one'])
        self.assertIn('gap', why_not_tls13(Traffic(pcap).with_payload()[0]))


if __name__ == '__main__':
    unittest.main()
