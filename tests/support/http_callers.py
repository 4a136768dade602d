"""Callers that curl cannot play: `http_callers.py WHAT HOST PORT ...` prints what it met.

  download HOST PORT PATH BYTES        reads a body, compares its digest with pattern()'s
  upload HOST PORT PATH BYTES [chunked]   sends pattern(), compares the digest that came back
  slow_readers HOST PORT PATH COUNT SECONDS   asks for a body COUNT times and reads nothing; prints `asked` in between
  slow_writers HOST PORT PATH COUNT BYTES SECONDS   sends bodies as fast as they are taken; prints how much was
  browser HOST PORT ROUNDS PATH...     six kept-alive connections, PATHs in turn
  steady HOST PORT PATH RATE STOPFILE  a request every 1/RATE s on four kept-alive connections until the file is there;
                                       prints JSON: {"sent", "failed": [...], "answers": {body: count}}
"""

import hashlib
import http.client
import importlib.util
import json
import os
import socket
import sys
import threading
import time


def _http_app():
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'http_app.py')
    spec = importlib.util.spec_from_file_location('http_app', beside)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def download(host, port, path, size):
    connection = http.client.HTTPConnection(host, port, timeout=120)
    connection.request('GET', path)
    response = connection.getresponse()
    total, sha = 0, hashlib.sha256()
    while data := response.read(1 << 18):
        total += len(data)
        sha.update(data)
    return 'right' if (total, sha.hexdigest()) == (int(size), _http_app().pattern_digest(int(size))) \
        else f'wrong: {response.status}, {total} bytes'


def upload(host, port, path, size, chunked=None):
    app = _http_app()
    connection = http.client.HTTPConnection(host, port, timeout=120)
    headers = {'Content-Length': size} if chunked is None else {}
    connection.request('PUT', path, body=app.pattern(int(size)), headers=headers, encode_chunked=chunked is not None)
    response = connection.getresponse()
    text = response.read()
    try:
        answer = json.loads(text)
    except ValueError:
        return f'wrong: {response.status} {text[:200]}'
    return 'right' if answer == {'bytes': int(size), 'sha256': app.pattern_digest(int(size))} else f'wrong: {answer}'


def slow_readers(host, port, path, count, seconds):
    sockets = []
    for _ in range(int(count)):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect((host, int(port)))
        s.sendall(f'GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n'.encode())
        sockets.append(s)
    print('asked', flush=True)
    time.sleep(float(seconds))
    return f'{sum(s.recv(5) == b"HTTP/" for s in sockets)} answers had begun'


def slow_writers(host, port, path, count, size, seconds):
    sent = [0] * int(count)

    def write(number):
        s = socket.create_connection((host, int(port)))
        s.sendall(f'POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n'.encode())
        s.settimeout(0.5)
        block = bytes(65536)
        try:
            while sent[number] < int(size):
                sent[number] += s.send(block)
        except OSError:
            pass  # nobody takes more
        time.sleep(float(seconds))
    threads = [threading.Thread(target=write, args=(n,)) for n in range(int(count))]
    for thread in threads:
        thread.start()
    time.sleep(2)
    print('sent', flush=True)
    for thread in threads:
        thread.join()
    return str(max(sent))


def browser(host, port, rounds, *paths):
    """Six connections at a time, as browsers do it; each answer must have the length that it says and be a 200."""
    wrong, lengths, lock = [], {}, threading.Lock()

    def tab(number):
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        for turn in range(int(rounds)):
            path = paths[(number + turn) % len(paths)]
            connection.request('GET', path, headers={'Accept-Encoding': 'identity', 'Cookie': f'tab={number}'})
            response = connection.getresponse()
            size = len(response.read())
            with lock:
                if response.status != 200 or lengths.setdefault(path, size) != size:
                    wrong.append(f'{path}: {response.status}, {size} bytes')
    threads = [threading.Thread(target=tab, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return f'{int(rounds) * 6 - len(wrong)} right' + (f', {wrong[:5]}' if wrong else '')


def steady(host, port, path, rate, stop):
    result = {'sent': 0, 'failed': [], 'answers': {}}
    lock = threading.Lock()
    connections = 4

    def loop(number):
        connection = None
        due = time.monotonic() + number / float(rate)
        while not os.path.exists(stop):
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + connections / float(rate), time.monotonic() - 1)
            try:
                connection = connection or http.client.HTTPConnection(host, int(port), timeout=10)
                connection.request('GET', path)
                response = connection.getresponse()
                body = response.read().decode(errors='replace').strip()
                reason = response.headers.get('x-countersign-reason')
                failure = None if response.status == 200 else f'{response.status} {reason or body[:80]}'
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as e:
                failure, body = f'{type(e).__name__}: {e}', ''
                connection = None
            with lock:
                result['sent'] += 1
                if failure:
                    result['failed'].append(failure)
                else:
                    result['answers'][body] = result['answers'].get(body, 0) + 1
    threads = [threading.Thread(target=loop, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return json.dumps(result)


def main():
    what = {f.__name__: f for f in (download, upload, slow_readers, slow_writers, browser, steady)}[sys.argv[1]]
    print(what(*sys.argv[2:]), flush=True)


if __name__ == '__main__':
    main()
