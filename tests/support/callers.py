"""Callers for the applications of applications.py: `callers.py WHAT ADDRESS PORT ...` prints what it met, and how long
that took."""

import hashlib
import os
import socket
import struct
import sys
import time


def connect(address, port, timeout=20):
    return socket.create_connection((address, port), timeout=timeout)


def half_close(address, port, size):
    """Sends `size` bytes, ends its own direction, and expects the answer after that."""
    with connect(address, port) as s:
        data = os.urandom(int(size))
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        answer = s.makefile().readline().strip()
    return 'right' if answer == f'{len(data)} {hashlib.sha256(data).hexdigest()}' else f'wrong: {answer!r}'


def greeting(address, port):
    """Says nothing until it is spoken to, then converses."""
    with connect(address, port) as s:
        lines = s.makefile('rw')
        hello = lines.readline().strip()
        lines.write('quit\n')
        lines.flush()
        return f'{hello} {lines.readline().strip()}'


def line(address, port, text='hello'):
    """Sends a line, prints the first that comes back, or how the connection ended."""
    with connect(address, port) as s:
        s.sendall(text.encode() + b'\n')
        return s.makefile().readline().strip() or 'end'


def listen_only(address, port):
    with connect(address, port) as s:
        return s.makefile().readline().strip() or 'end'


def reset(address, port):
    """Sends a line and resets."""
    s = connect(address, port)
    s.sendall(b'soon gone\n')
    time.sleep(0.5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
    return 'reset'


def idle(address, port, seconds):
    """Echoes once, is silent for a while, and echoes again on the same connection."""
    with connect(address, port) as s:
        lines = s.makefile('rw')
        heard = []
        for word in ('before', 'after'):
            lines.write(word + '\n')
            lines.flush()
            heard.append(lines.readline().strip())
            if word == 'before':
                print('idle', flush=True)
                time.sleep(float(seconds))
        return ' '.join(heard)


def many(address, port, count):
    """Opens `count` connections at once and echoes a line on each."""
    sockets = [connect(address, port) for _ in range(int(count))]
    for number, s in enumerate(sockets):
        s.sendall(f'{number}\n'.encode())
    right = sum(s.makefile().readline().strip() == str(number) for number, s in enumerate(sockets))
    for s in sockets:
        s.close()
    return f'{right} right'


def main():
    what = {f.__name__: f for f in (half_close, greeting, line, listen_only, reset, idle, many)}[sys.argv[1]]
    started = time.monotonic()
    try:
        met = what(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    except ConnectionResetError:
        met = 'connection reset'
    except ConnectionRefusedError:
        met = 'connection refused'
    except (TimeoutError, OSError) as e:
        met = f'{type(e).__name__}: {e}'
    print(f'{met}\n{time.monotonic() - started:.3f}')


if __name__ == '__main__':
    main()
