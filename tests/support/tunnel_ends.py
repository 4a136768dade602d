"""A tunnel's two directions, each with an end of its own. `tunnel_ends.py serve PORT` answers an Upgrade with 101 and CONNECT
with 200, and does what the first line in the tunnel says; `tunnel_ends.py call HOST PORT (upgrade|connect) WHAT BYTES` is
its caller, and prints what it met.

  count   the application reads to the caller's end, answers with the number of bytes and their SHA-256, and ends
  leave   the application says `bye` and ends, the caller goes on with its bytes; the application prints what came
  reset   the application resets the connection
  stay    the application ends its direction, and resets the connection when more comes
  listen  the caller resets the connection; the application prints how it ended: `fin` or `reset`
  forget  the same, after the application has ended its direction
"""

import hashlib
import socket
import struct
import sys
import threading
import time


def read_head(file):
    first = file.readline().decode().strip()
    while file.readline().strip():
        pass
    return first


def reset(connection, file):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    file.close()
    connection.close()


def report(data):
    return f'{len(data)} {hashlib.sha256(data).hexdigest()}'


def listen(file):
    try:
        while file.read1():
            pass
        print('ended: fin', flush=True)
    except ConnectionResetError:
        print('ended: reset', flush=True)


def behave(connection, file):
    answer = 'HTTP/1.1 200 OK' if read_head(file).startswith('CONNECT ') else \
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: ends\r\nConnection: Upgrade'
    connection.sendall(f'{answer}\r\n\r\n'.encode())
    what = file.readline().decode().strip()
    if what in ('leave', 'stay', 'forget'):
        connection.sendall(b'bye')
        connection.shutdown(socket.SHUT_WR)
    if what == 'count':
        connection.sendall(report(file.read()).encode())
    elif what == 'leave':
        print(f'after bye: {report(file.read())}', flush=True)
    elif what in ('listen', 'forget'):
        listen(file)
    else:
        if what == 'stay':
            file.read(1)
        reset(connection, file)


def serve(port):
    def handle(connection):
        with connection, connection.makefile('rb') as file:
            behave(connection, file)

    listener = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    print('ready', flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(connection,), daemon=True).start()


def converse(connection, file, what, data):
    if what == 'count':
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return file.read().decode()
    if what == 'reset':
        return f'{file.read()}, and no reset'
    heard = '' if what == 'listen' else file.read().decode()
    if what == 'stay':
        for _ in range(200):
            connection.sendall(b'more')
            time.sleep(0.05)
        return f'{heard}, and no reset'
    connection.sendall(data)
    if what == 'leave':
        connection.shutdown(socket.SHUT_WR)
        return f'{heard} {report(data)}'
    time.sleep(0.5)  # so that the bytes have gone before
    reset(connection, file)
    return 'gone'


def call(host, port, kind, what, size):
    connection = socket.create_connection((host, int(port)), timeout=20)
    file = connection.makefile('rb')
    target, fields = (f'{host}:{port}', '') if kind == 'connect' else ('/', 'Upgrade: ends\r\nConnection: Upgrade\r\n')
    method = 'CONNECT' if kind == 'connect' else 'GET'
    connection.sendall(f'{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\n{fields}\r\n'.encode())
    first = read_head(file)
    if first.split()[1:2] != ['200' if kind == 'connect' else '101']:
        return f'no tunnel: {first}'
    connection.sendall(f'{what}\n'.encode())
    try:
        return converse(connection, file, what, bytes(range(251)) * (int(size) // 251))
    except ConnectionError as e:
        return type(e).__name__


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(int(sys.argv[2]))
    print(call(*sys.argv[2:]), flush=True)
