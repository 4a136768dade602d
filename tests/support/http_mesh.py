"""The mesh of the HTTP tests: one caller, two versions of an application, nginx, gRPC, a legacy pod."""

import json
import os
import re
import subprocess

from tests.support import applications, http_app, netns_test, nginx, websocket
from tests.support.mesh import publish, wait_for
from tests.support.prometheus_text import Samples

APP = 8080
WEBSOCKET = 8090
GREETING = 7001  # applications.py from 7000
NOBODY = 7999
GRPC = 50051
LENIENT = 82  # nginx, of which no configuration says what it speaks
PYTHON = '/usr/bin/python3'


class Answer:
    """What curl met."""

    def __init__(self, result):
        self.code = result.returncode
        self.error = result.stderr.strip()
        self.heads = []  # (status, [(name, value)]), informational ones first
        self.version = None
        rest = result.stdout  # in text mode: lines end with \n alone
        while rest.startswith('HTTP/') and (not self.heads or self.heads[-1][0] < 200):
            head, _, rest = rest.partition('\n\n')
            first, *lines = head.split('\n')
            self.version = first.split()[0].removeprefix('HTTP/')
            fields = [line.partition(':') for line in lines]
            self.heads.append((int(first.split()[1]), [(n.lower(), v.strip()) for n, _, v in fields]))
        self.body = rest

    @property
    def status(self):
        return self.heads[-1][0] if self.heads else None

    def header(self, name):
        return next((v for n, v in self.heads[-1][1] if n == name), None) if self.heads else None

    def seen(self, name):
        """Values of a header field as the application saw it (from /echo)."""
        return [value for found, value in json.loads(self.body)['headers'] if found == name]

    def __str__(self):
        return f'code {self.code}, {self.heads}, {self.body[:300]!r}, {self.error}'


class HttpMesh(netns_test.MeshTestCase):
    """`client` calls; `one` and `two` are versions v1 and v2 of `web`; `files` runs nginx and the WebSocket echo; `rpc1`
    and `rpc2` are one gRPC service; `legacy` has no sidecar."""

    # Pods beyond client, one and legacy that a test file needs.
    pods = ('two', 'files', 'rpc1', 'rpc2')
    sidecar_flags = ()

    @classmethod
    def build(cls, mesh):
        mesh.add_pod('client')
        mesh.add_pod('one', ports={'http': APP}, labels={'app': 'web', 'version': 'v1'})
        mesh.add_pod('legacy', tunnel='NONE')
        if 'two' in cls.pods:
            mesh.add_pod('two', ports={'http': APP}, labels={'app': 'web', 'version': 'v2'})
        if 'files' in cls.pods:
            mesh.add_pod('files', ports={'http': 80})
        for name in ('rpc1', 'rpc2'):
            if name in cls.pods:
                mesh.add_pod(name, ports={'grpc': GRPC}, labels={'app': 'rpc'})
        mesh.add_service('web', 80, APP, {'app': 'web'}, 'http')
        mesh.add_service('v1', 80, APP, {'version': 'v1'}, 'http')
        mesh.add_service('v2', 80, APP, {'version': 'v2'}, 'http')
        mesh.add_service('undeclared', 80, APP, {'version': 'v1'}, 'main')
        mesh.add_service('greeter', 80, GREETING, {'version': 'v1'}, 'main')
        mesh.add_service('gone', 80, NOBODY, {'version': 'v1'}, 'http')
        mesh.add_service('empty', 80, APP, {'app': 'nothing-has-this'}, 'http')
        mesh.add_service('files', 80, 80, {'app': 'files'}, 'http')
        mesh.add_service('files-h2', 80, 81, {'app': 'files'}, 'http2')
        mesh.add_service('chat', 80, WEBSOCKET, {'app': 'files'}, 'http')
        mesh.add_service('rpc', GRPC, GRPC, {'app': 'rpc'}, 'grpc')
        mesh.add_service('rpc-undeclared', GRPC, GRPC, {'app': 'rpc'}, 'main')
        mesh.write_hosts()
        cls.configure(mesh)
        mesh.start_control()
        mesh.start_sidecars('--access-log=-', *cls.sidecar_flags)
        cls.start_applications(mesh)

    @classmethod
    def configure(cls, mesh):
        """Writes further configuration before anything runs."""

    @classmethod
    def start_applications(cls, mesh):
        started = []
        for name in ('one', 'two', 'legacy'):
            if name in mesh.pods:
                started.append(mesh.pods[name].spawn('app', [PYTHON, publish(http_app.__file__), str(APP), name]))
        started.append(mesh.pods['one'].spawn('applications', [PYTHON, publish(applications.__file__), '7000']))
        if 'files' in mesh.pods:
            started.append(mesh.pods['files'].spawn('chat', [PYTHON, publish(websocket.__file__), 'serve', str(WEBSOCKET)]))
            cls.start_nginx(mesh.pods['files'])
        for name in ('rpc1', 'rpc2'):
            if name in mesh.pods:
                started.append(mesh.pods[name].spawn('grpc', [mesh.binaries.grpc_server, str(GRPC), name]))
        for process in started:
            wait_for(f'{process.name} is ready', lambda: 'ready' in process.output())

    @staticmethod
    def start_nginx(pod):
        """Ports 80 and 82 speak HTTP/1.1, port 81 HTTP/2 in cleartext; /small, /medium and /large are files, /identity says whom
        it was told that the caller is."""
        os.makedirs(f'{pod.folder}/html')
        for name, size in (('small', 1_000), ('medium', 100_000), ('large', 5_000_000)):
            with open(f'{pod.folder}/html/{name}', 'wb') as file:
                file.writelines(http_app.pattern(size))
        nginx.start(pod, """\
    listen 80;
    listen [::]:80;
    listen 81 http2;
    listen [::]:81 http2;
    listen 82;
    listen [::]:82;
    location = /protocol { return 200 "$server_protocol\\n"; }
    location = /identity { return 200 "$http_x_forwarded_client_cert\\n"; }""", '/protocol', 'HTTP/1.1')

    client, one, two, files, rpc1, rpc2, legacy = (
        property(lambda self, name=name: self.mesh.pods[name]) for name in ('client', 'one', 'two', 'files', 'rpc1', 'rpc2', 'legacy'))

    # What tests do.

    def curl(self, url, *options, pod=None, timeout=20):
        """curl -i from `client`; the first request to a destination may have to wait for its configuration."""
        pod = pod or self.client
        return Answer(pod.run(['curl', '-sS', '-i', '--noproxy', '*', '--max-time', str(timeout), *options, url], timeout=timeout + 5))

    def spawn_script(self, pod, module, *arguments, **options):
        return subprocess.Popen(pod.command([PYTHON, publish(module.__file__), *map(str, arguments)]), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, **options)

    def script(self, pod, module, *arguments, timeout=60):
        """Runs a Python program of ours inside the pod and returns what it printed."""
        result = pod.run([PYTHON, publish(module.__file__), *map(str, arguments)], timeout=timeout)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout.strip()

    def grpc(self, address, *arguments, timeout=60):
        return self.client.run([self.mesh.binaries.grpc_client, address, *map(str, arguments)], timeout=timeout)

    def samples(self, pod):
        return Samples(pod.admin('/metrics'))

    def configure_while_running(self, file, text, visible, timeout=10):
        """Writes configuration that is taken back after the test, and waits until `visible()`."""
        self.addCleanup(self.mesh.remove_config, file)
        self.mesh.write_config(file, text)
        return wait_for(f'{file} is in force', visible, timeout, 0.1)

    @staticmethod
    def rss_kib(pod):
        with open(f'/proc/{pod.sidecar.popen.pid}/status') as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1))

    def access_log(self, pod, since=0, **fields):
        """Records of the sidecar's access log with these fields."""
        found = []
        for line in pod.sidecar.output()[since:].splitlines():
            if line.startswith('{'):
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if all(record.get(k) == v for k, v in fields.items()):
                    found.append(record)
        return found
