"""Stands where the proxy's capture ports are and tells each caller which port caught it and where it wanted to go.

With it the netfilter rules are tested by themselves. Prints `ready`, then serves until it is ended.
"""

import selectors
import socket
import struct

SO_ORIGINAL_DST = 80  # IP6T_SO_ORIGINAL_DST is the same number


def original_destination(connection):
    if connection.family == socket.AF_INET6:
        raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        return f'[{socket.inet_ntop(socket.AF_INET6, raw[8:24])}]:{struct.unpack("!H", raw[2:4])[0]}'
    raw = connection.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
    return f'{socket.inet_ntop(socket.AF_INET, raw[4:8])}:{struct.unpack("!H", raw[2:4])[0]}'


def main():
    selector = selectors.DefaultSelector()
    for port in (15001, 15006):
        for family, address in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
            listener = socket.socket(family)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address, port))
            listener.listen()
            selector.register(listener, selectors.EVENT_READ)
    print('ready', flush=True)
    while True:
        for key, _ in selector.select():
            connection, _ = key.fileobj.accept()
            with connection:
                try:
                    destination = original_destination(connection)
                except OSError:
                    destination = 'nowhere else'
                connection.sendall(f'{key.fileobj.getsockname()[1]} {destination}\n'.encode())


if __name__ == '__main__':
    main()
