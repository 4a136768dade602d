"""Lets a program that knows nothing of certificates speak inside the mesh: `mesh_relay.py LISTEN ADDRESS PORT CHAIN KEY ALPN`
takes plaintext on 127.0.0.1:LISTEN and carries it over mutual TLS 1.3 to ADDRESS:PORT."""

import select
import socket
import ssl
import sys
import threading


def relay(plain, address, port, context):
    try:
        with plain, context.wrap_socket(socket.create_connection((address, port), timeout=10)) as peer:
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


def main():
    listen, address, port, chain, key, alpn = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols([alpn])
    listener = socket.create_server(('127.0.0.1', int(listen)), backlog=128)
    print('ready', flush=True)
    while True:
        plain, _ = listener.accept()
        threading.Thread(target=relay, args=(plain, address, int(port), context), daemon=True).start()


if __name__ == '__main__':
    main()
