"""The unmodified programs of the demo mesh. None of them is told of TLS."""

import hashlib
import os

from tests.support import nginx
from tests.support.mesh import MeshError, run, wait_for

PAGE = 'The plain words that only api and its callers may read: Seraphim-42.'
CACHE_VALUE = 'Redis-keeps-this-secret-Zanzibar-77'
DB_VALUE = 'MariaDB-keeps-this-secret-Quetzal-99'
SECRETS = (PAGE, CACHE_VALUE, DB_VALUE)
BULK_MEGABYTES = 64


def start_nginx(pod):
    """Listens on 80: /, and /bulk, whose digest is returned."""
    os.makedirs(f'{pod.folder}/html')
    with open(f'{pod.folder}/html/index.html', 'w') as file:
        file.write(PAGE + '\n')
    digest = hashlib.sha256()
    with open(f'{pod.folder}/html/bulk', 'wb') as file:
        block = os.urandom(1 << 20)
        for number in range(BULK_MEGABYTES):
            piece = number.to_bytes(8, 'big') + block[8:]
            file.write(piece)
            digest.update(piece)
    nginx.start(pod, """\
    listen 80;
    listen [::]:80;
    location = /caller { return 200 "$remote_addr\\n"; }""", '/', PAGE)
    return digest.hexdigest()


def start_redis(pod):
    pod.spawn('redis', ['redis-server', '--port', '6379', '--bind', '*', '-::*', '--protected-mode', 'no', '--save', '',
                        '--appendonly', 'no', '--dir', pod.folder])
    wait_for('redis listens', lambda: pod.run(['redis-cli', 'PING']).stdout.strip() == 'PONG')
    pod.run(['redis-cli', 'SET', 'secret', CACHE_VALUE])


def start_mariadb(pod):
    """The server speaks first. User `app` without a password, database `demo`, table `secrets`."""
    data = f'{pod.folder}/data'
    result = pod.run(['mariadb-install-db', '--no-defaults', f'--datadir={data}', '--auth-root-authentication-method=normal',
                      '--skip-test-db', '--innodb-log-file-size=4M', '--innodb-buffer-pool-size=16M'], timeout=60)
    if result.returncode != 0:
        raise MeshError(f'mariadb-install-db: {result.stdout[-400:]} {result.stderr[-400:]}')
    with open(f'{pod.folder}/init.sql', 'w') as file:
        file.write("CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY '';\n"
                   'CREATE DATABASE IF NOT EXISTS demo;\n'
                   "GRANT ALL ON demo.* TO app@'%';\n"
                   'CREATE TABLE IF NOT EXISTS demo.secrets (word VARCHAR(80));\n'
                   f"INSERT INTO demo.secrets VALUES ('{DB_VALUE}');\n")
    pod.spawn('mariadb', ['/usr/sbin/mariadbd', '--no-defaults', f'--datadir={data}', f'--socket={pod.folder}/socket',
                          f'--pid-file={pod.folder}/pid', f'--init-file={pod.folder}/init.sql', '--bind-address=*', '--port=3306',
                          '--skip-name-resolve', '--skip-log-bin', '--performance-schema=OFF', '--innodb-log-file-size=4M',
                          '--innodb-buffer-pool-size=16M', '--innodb-flush-log-at-trx-commit=0', '--innodb-use-native-aio=0',
                          '--max-connect-errors=1000000'])
    wait_for('MariaDB listens', lambda: sql(pod, '127.0.0.1', 'SELECT word FROM secrets').stdout.strip() == DB_VALUE, 30, 0.2)


# Clients, as a person would type them.

def mariadb_command(host, connect_timeout=8):
    return ['mariadb', '--no-defaults', f'--host={host}', '--port=3306', '--protocol=tcp', '--user=app', '--database=demo',
            '--skip-column-names', '--batch', '--unbuffered', '--skip-reconnect', f'--connect-timeout={connect_timeout}']


def sql(pod, host, statement, connect_timeout=8):
    return pod.run(mariadb_command(host, connect_timeout) + ['-e', statement])


def get(pod, url, *options, timeout=8):
    return pod.run(['curl', '-sS', '--max-time', str(timeout), '--noproxy', '*', *options, url], timeout=timeout + 5)


def redis(pod, host, *words):
    return pod.run(['redis-cli', '-h', host, *words], timeout=10)


def versions():
    """One line that says which programs these are."""
    words = []
    for argv in (['curl', '--version'], ['/usr/sbin/nginx', '-v'], ['redis-server', '--version'],
                 ['/usr/sbin/mariadbd', '--version']):
        result = run(argv, check=False)
        words.append((result.stdout or result.stderr).split('\n')[0].strip())
    return words
