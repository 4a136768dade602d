"""Small applications that behave in ways that ordinary programs seldom show. Runs by itself: `applications.py PORT`.

  PORT      reads all until the caller's end, then answers with the number of bytes and their SHA-256, then ends
  PORT+1    speaks first: greets, then echoes line by line
  PORT+2    reads a line, then resets the connection
  PORT+3    echoes whatever comes, at once
  PORT+4    reads until the connection ends and prints how it ended: `fin` or `reset`
  PORT+5    tells the caller from which address it is called
"""

import hashlib
import socket
import struct
import sys
import threading


def digest(connection):
    total, sha = 0, hashlib.sha256()
    while data := connection.recv(65536):
        total += len(data)
        sha.update(data)
    connection.sendall(f'{total} {sha.hexdigest()}\n'.encode())


def greet(connection):
    connection.sendall(b'220 speak\n')
    lines = connection.makefile('rwb', buffering=0)
    while line := lines.readline():
        lines.write(line)


def reset(connection):
    connection.makefile('rb').readline()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def ending(connection):
    try:
        while connection.recv(65536):
            pass
        print('ended: fin', flush=True)
    except ConnectionResetError:
        print('ended: reset', flush=True)


def caller(connection):
    connection.sendall((connection.getpeername()[0] + '\n').encode())


def serve(port, behave):
    def handle(connection):
        with connection:
            try:
                behave(connection)
            except OSError:
                pass  # the caller has gone

    listener = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=handle, args=(connection,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def main():
    first = int(sys.argv[1])
    for offset, behave in enumerate((digest, greet, reset, echo, ending, caller)):
        serve(first + offset, behave)
    print('ready', flush=True)
    threading.Event().wait()


if __name__ == '__main__':
    main()
