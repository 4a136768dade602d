"""Sockets of this process inside a pod's network namespace, for callers that must control every byte."""

import ctypes
import os
import select
import socket
import ssl
import threading

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _inside(pod, make):
    """The socket that `make` makes in the pod's namespace, which it keeps."""
    met = []

    def enter():
        namespace = os.open(pod.netns, os.O_RDONLY)
        try:
            if _libc.setns(namespace, _CLONE_NEWNET) != 0:  # of this thread alone
                raise OSError(ctypes.get_errno(), f'cannot enter {pod.netns}')
            met.append(make())
        except OSError as e:
            met.append(e)
        finally:
            os.close(namespace)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(met[0], OSError):
        raise met[0]
    return met[0]


def connect(pod, address, port, timeout=10.0):
    """As an application of the pod would connect: what it sends is captured, if the pod has a sidecar."""
    sock = _inside(pod, lambda: socket.create_connection((address, port), timeout=timeout))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect_tls(pod, address, port, chain, key, alpn, timeout=10.0):
    """The same with TLS 1.3 and this certificate; whoever answers is believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols([alpn])
    wrapped = context.wrap_socket(connect(pod, address, port, timeout))
    if wrapped.selected_alpn_protocol() != alpn:
        raise ssl.SSLError(f'{address}:{port} agreed to {wrapped.selected_alpn_protocol()} instead of {alpn}')
    return wrapped


def read_until_end(sock, timeout=5.0, limit=1 << 20):
    """(bytes, how it ended: 'end', 'reset', or 'open' when nothing came for `timeout`)."""
    data = bytearray()
    sock.settimeout(timeout)
    try:
        while len(data) < limit:
            more = sock.recv(65536)
            if not more:
                return bytes(data), 'end'
            data += more
    except TimeoutError:
        return bytes(data), 'open'
    except OSError:
        return bytes(data), 'reset'
    return bytes(data), 'open'


def _carry(plain, connect_peer):
    try:
        with plain, connect_peer() as peer:
            peer.settimeout(None)
            other = {plain: peer, peer: plain}
            while True:
                ready = [peer] if peer.pending() else select.select([plain, peer], [], [])[0]
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    other[source].sendall(data)
    except OSError:
        pass  # either side has gone, and the other is told by the end


def relay(pod, port, connect_peer):
    """Lets a program of the pod that knows nothing of certificates speak inside the mesh: what it sends to 127.0.0.1:`port` is
    carried by a TLS socket of its own, which `connect_peer` makes. Lasts as long as this process."""
    listener = _inside(pod, lambda: socket.create_server(('127.0.0.1', port), backlog=128))

    def accept():
        while True:
            threading.Thread(target=_carry, args=(listener.accept()[0], connect_peer), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
