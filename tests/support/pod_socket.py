"""Sockets of this process inside a pod's network namespace, for callers that must control every byte."""

import ctypes
import os
import socket
import ssl
import threading

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def connect(pod, address, port, timeout=10.0):
    """As an application of the pod would connect: what it sends is captured, if the pod has a sidecar."""
    met = []

    def inside():
        # Of this thread alone; the socket keeps the namespace in which it was made.
        namespace = os.open(pod.netns, os.O_RDONLY)
        try:
            if _libc.setns(namespace, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f'cannot enter {pod.netns}')
            met.append(socket.create_connection((address, port), timeout=timeout))
        except OSError as e:
            met.append(e)
        finally:
            os.close(namespace)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if isinstance(met[0], OSError):
        raise met[0]
    met[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return met[0]


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
