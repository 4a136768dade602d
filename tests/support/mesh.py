"""A mesh of network namespaces: pods with veth pairs on one bridge, sidecars, the control plane, real programs.

Use inside namespaces.enter(). Pods reach each other at 10.77.0.N and fd77::N; services have addresses in 10.96.0.0/16 and
fd00:96::/64 which nothing but the sidecars knows.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import time

from tests.support.namespaces import STATE

PROXY_UID = 1337
APP_UID = 2000  # pods' applications run as 2000 + N
SERVICE_NETS = ('10.96.0.0/16', 'fd00:96::/64')


class MeshError(Exception):
    """The mesh could not be built; the words say what to do."""


class Binaries:
    """Where the built programs are; MeshError for the one that is asked for and is not there."""

    _PATHS = {'control': 'control/main/countersign-control', 'proxy': 'proxy/main/countersign-proxy',
              'redirect': 'deploy/redirect/countersign-redirect', 'grpc_server': 'tests/support/grpc/grpc-echo-server',
              'grpc_client': 'tests/support/grpc/grpc-echo-client'}

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)

    def __getattr__(self, name):
        built = os.path.join(self.folder, self._PATHS[name])
        if not os.access(built, os.X_OK):
            raise MeshError(f'{built} is not there; build it first')
        return publish(built)

    @staticmethod
    def foreign(name):
        """A program that nobody here wrote, built by tests/conformance/clients/build."""
        built = f'{os.environ["COUNTERSIGN_CLIENTS"]}/{name}'
        if not os.access(built, os.X_OK):
            raise MeshError(f'{built} is not there; tests/conformance/clients/build makes it')
        return publish(built)


def clients_folder():
    """Where tests/conformance/clients/build leaves the clients that nobody here wrote."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    return os.environ.get('COUNTERSIGN_CLIENTS', f'{home}/.cache/countersign/clients')


def publish(path):
    """A copy that other users than the one who has the file may read and run."""
    public = f'{STATE}/bin/{os.path.basename(path)}'
    if not os.path.exists(public):
        os.makedirs(os.path.dirname(public), exist_ok=True)
        shutil.copy(path, public)
        os.chmod(public, 0o755)
    return public


def run(argv, **options):
    options.setdefault('check', True)
    try:
        return subprocess.run(argv, capture_output=True, text=True, **options)
    except subprocess.CalledProcessError as e:
        raise MeshError(f'{" ".join(argv)} failed: {e.stderr.strip() or e.stdout.strip()}') from e


def wait_for(what, condition, timeout=15.0, interval=0.05):
    """Polls `condition` and returns its first true value; MeshError names `what` when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise MeshError(f'{what}: not within {timeout:.0f} s')
        time.sleep(interval)


class Process:
    """A program that runs in the background, with its output in a file."""

    def __init__(self, name, argv, log, **options):
        self.name = name
        self.log = log
        self._out = open(log, 'ab')
        options.setdefault('stdin', subprocess.DEVNULL)
        options.setdefault('stderr', subprocess.STDOUT)
        self.popen = subprocess.Popen(argv, stdout=self._out, start_new_session=True, **options)

    @property
    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running:
            self.popen.send_signal(number)

    def stop(self, timeout=5.0):
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._out.close()

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def output(self):
        with open(self.log, errors='replace') as file:
            return file.read()

    def cpu_seconds(self):
        with open(f'/proc/{self.popen.pid}/stat') as file:
            fields = file.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def tail(self, lines=15):
        words = self.output().splitlines()[-lines:]
        code = self.popen.poll()
        if code is not None:
            words.append(f'(ended: {signal.Signals(-code).name if code < 0 else f"exit code {code}"})')
        return '\n'.join('      ' + word for word in words)


class Pod:
    """A network namespace with an address of each family; with a sidecar if it belongs to the mesh."""

    def __init__(self, mesh, name, number, namespace, service_account, tunnel, ports, labels):
        self.mesh = mesh
        self.name = name
        self.number = number
        self.namespace = namespace
        self.service_account = service_account
        self.tunnel = tunnel  # HBONE, TLS, or NONE: no sidecar
        self.ports = ports
        self.labels = labels
        self.ipv4 = f'10.77.0.{number}'
        self.ipv6 = f'fd77::{number:x}'
        self.netns = f'/run/netns/{name}'
        self.folder = f'{STATE}/pods/{name}'
        self.uid = APP_UID + number
        self.sidecar = None

    @property
    def spiffe_id(self):
        return f'spiffe://{self.mesh.trust_domain}/ns/{self.namespace}/sa/{self.service_account}'

    def command(self, argv, uid=None):
        """`argv` as a command line that enters the pod as its application's user, or as `uid`."""
        uid = self.uid if uid is None else uid
        return ['nsenter', f'--net={self.netns}', 'setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups',
                '--no-new-privs', *argv]

    def run(self, argv, uid=None, timeout=30, **options):
        """Runs a program to its end; the result has returncode, stdout and stderr (text)."""
        try:
            return subprocess.run(self.command(argv, uid), capture_output=True, text=True, errors='replace',
                                  timeout=timeout, cwd=self.folder, **options)
        except subprocess.TimeoutExpired as e:
            def text(raw):
                return raw.decode(errors='replace') if isinstance(raw, bytes) else raw or ''
            return subprocess.CompletedProcess(argv, 124, text(e.stdout),
                                               text(e.stderr) + f'\nno end within {timeout} s')

    def spawn(self, name, argv, uid=None, **options):
        return self.mesh.spawn(f'{self.name}-{name}', self.command(argv, uid), cwd=self.folder, **options)

    def add_capture(self, *flags):
        """Writes the pod's netfilter rules."""
        return run(['nsenter', f'--net={self.netns}', self.mesh.binaries.redirect, f'--proxy-uid={PROXY_UID}', *flags])

    def start_sidecar(self, *flags, token=None):
        """Starts the proxy with a join token of its own; does not wait for its certificate."""
        token_file = f'{self.folder}/token'
        if token is None:
            token = self.mesh.create_token(self.spiffe_id)
        if os.path.exists(token_file):
            os.unlink(token_file)
        with open(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), 'w') as file:
            file.write(token + '\n')
        os.chown(token_file, PROXY_UID, PROXY_UID)
        self.sidecar = self.spawn('proxy', [
            self.mesh.binaries.proxy, f'--control={self.mesh.control_pod.ipv4}:15012',
            f'--trust-bundle={self.mesh.bundle}', f'--trust-domain={self.mesh.trust_domain}',
            f'--join-token-file={token_file}', f'--workload={self.name}', f'--namespace={self.namespace}',
            '--drain-time=5s', *flags], uid=PROXY_UID)
        return self.sidecar

    def admin(self, path, timeout=5):
        """Text of a page of the sidecar's admin port, which only the pod can reach."""
        result = self.run(['curl', '-sS', '--max-time', str(timeout), f'http://127.0.0.1:15000{path}'], uid=PROXY_UID)
        if result.returncode != 0:
            raise MeshError(f'{self.name}: the admin page {path} does not answer: {result.stderr.strip()}')
        return result.stdout

    def admin_json(self, path):
        return json.loads(self.admin(path))

    def ready(self):
        result = self.run(['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '2',
                           'http://127.0.0.1:15000/ready'], uid=PROXY_UID)
        return result.stdout == '200'

    def wait_ready(self, timeout=20):
        def look():
            if self.sidecar is not None and not self.sidecar.running:
                raise MeshError(f'the sidecar of {self.name} ended by itself:\n{self.sidecar.tail()}')
            return self.ready()
        try:
            wait_for(f'the sidecar of {self.name} is ready', look, timeout, 0.1)
        except MeshError as e:
            raise MeshError(f'{e}; its last words:\n{self.sidecar.tail()}') from e

    def workload_yaml(self):
        ports = '\n'.join(f'    - {{name: {n}, port: {p}, protocol: TCP}}' for n, p in self.ports.items())
        labels = ', '.join(f'{k}: {v}' for k, v in self.labels.items())
        return f"""\
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata:
  name: {self.name}
  namespace: {self.namespace}
  labels: {{{labels}}}
spec:
  addresses: ["{self.ipv4}", "{self.ipv6}"]
  serviceAccount: {self.service_account}
  tunnel: {self.tunnel}
""" + (f'  ports:\n{ports}\n' if ports else '')


class Service:
    def __init__(self, name, namespace, number, port, target_port, selector, port_name):
        self.name, self.namespace, self.port, self.target_port = name, namespace, port, target_port
        self.selector = selector
        self.port_name = port_name
        self.ipv4 = f'10.96.0.{number}'
        self.ipv6 = f'fd00:96::{number:x}'

    def yaml(self):
        selector = ', '.join(f'{k}: {v}' for k, v in self.selector.items())
        return f"""\
apiVersion: v1
kind: Service
metadata:
  name: {self.name}
  namespace: {self.namespace}
spec:
  clusterIP: {self.ipv4}
  clusterIPs: ["{self.ipv4}", "{self.ipv6}"]
  selector: {{{selector}}}
  ports:
    - {{name: {self.port_name}, port: {self.port}, targetPort: {self.target_port}, protocol: TCP}}
"""


class Mesh:
    """Owns everything; close() ends every program. The namespaces themselves go with the process."""

    def __init__(self, binaries, trust_domain='demo.example', namespace='demo', certificate_ttl='1h'):
        self.binaries = binaries
        self.trust_domain = trust_domain
        self.namespace = namespace
        self.certificate_ttl = certificate_ttl
        self.config = f'{STATE}/config'
        self.state = f'{STATE}/control-state'
        self.bundle = f'{STATE}/bundle.pem'
        self.logs = f'{STATE}/logs'
        self.pods = {}
        self.services = {}
        self.processes = []
        self.control = None
        self._next = 10
        os.chmod(STATE, 0o755)
        for folder in (self.config, self.logs, f'{STATE}/pods'):
            os.makedirs(folder)
        os.makedirs(self.state, mode=0o700)
        # Answers for service addresses come from the sidecars, so the bridge has no way to them.
        run(['ip', '-batch', '-'], input='\n'.join([
            'link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0',
            'addr add 10.77.0.1/16 dev br0', 'addr add fd77::1/64 dev br0 nodad', 'link set br0 up']))
        self.control_pod = self._make_pod('control', 'countersign-system', 'countersign', 'NONE', {}, {})
        self.write_mesh()

    # What the mesh consists of.

    def _make_pod(self, name, namespace, service_account, tunnel, ports, labels):
        pod = Pod(self, name, self._next, namespace, service_account, tunnel, ports, labels)
        self._next += 1
        os.makedirs(pod.folder)
        os.chown(pod.folder, pod.uid, pod.uid)
        os.chmod(pod.folder, 0o755)
        run(['ip', 'netns', 'add', name])
        run(['ip', 'link', 'add', f'v-{name}', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name])
        run(['ip', 'link', 'set', f'v-{name}', 'master', 'br0', 'up'])
        run(['ip', '-n', name, '-batch', '-'], input='\n'.join([
            'link set lo up', f'addr add {pod.ipv4}/16 dev eth0', f'addr add {pod.ipv6}/64 dev eth0 nodad',
            'link set eth0 up', 'route add default via 10.77.0.1', 'route add ::/0 via fd77::1']))
        # Applications run as ordinary users and want port 80.
        run(['nsenter', f'--net={pod.netns}', 'sh', '-c',
             'echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start'])
        return pod

    def add_pod(self, name, ports=None, tunnel='HBONE', service_account=None, capture=True, capture_flags=(),
                labels=None):
        """A pod and its ExternalWorkload. With a sidecar to come (tunnel is not NONE) its traffic is captured from
        now on, unless `capture` says no."""
        pod = self._make_pod(name, self.namespace, service_account or name, tunnel, ports or {},
                             labels or {'app': name})
        self.pods[name] = pod
        self.write_config(f'{name}.workload.yaml', pod.workload_yaml())
        if tunnel != 'NONE' and capture:
            pod.add_capture(*capture_flags)
        return pod

    def add_service(self, name, port, target_port=None, selector=None, port_name=None):
        """The port's name says what is spoken there: `http`, `http2-x`, `grpc`, `tcp-x`; any other says nothing."""
        service = Service(name, self.namespace, 10 + len(self.services), port, target_port or port,
                          selector or {'app': name}, port_name or f'tcp-{name}')
        self.services[name] = service
        self.write_config(f'{name}.service.yaml', service.yaml())
        return service

    def write_config(self, file, text):
        """Atomically, as an editor or a config-map mount does it."""
        path = os.path.join(self.config, file)
        with open(path + '.new~', 'w') as out:
            out.write(text)
        os.rename(path + '.new~', path)

    def remove_config(self, file):
        path = os.path.join(self.config, file)
        if os.path.exists(path):
            os.unlink(path)

    def write_mesh(self, mtls='PERMISSIVE', outbound='ALLOW_ANY', more=''):
        """`more` is YAML of spec, indented by two."""
        self.write_config('mesh.yaml', f"""\
apiVersion: countersign.dev/v1alpha1
kind: Mesh
metadata:
  name: default
spec:
  trustDomain: {self.trust_domain}
  outboundTrafficPolicy:
    mode: {outbound}
  mtls:
    mode: {mtls}
  certificates:
    ttl: {self.certificate_ttl}
    maxTtl: 24h
{more}""")

    def write_hosts(self):
        """Service names in /etc/hosts, for every program inside."""
        path = f'{STATE}/hosts'
        with open(path, 'w') as file:
            file.write('127.0.0.1 localhost\n::1 localhost\n')
            for service in self.services.values():
                file.write(f'{service.ipv4} {service.name}\n{service.ipv6} {service.name}\n')
            for pod in self.pods.values():
                file.write(f'{pod.ipv4} {pod.name}-pod\n{pod.ipv6} {pod.name}-pod\n')
        run(['mount', '--bind', path, '/etc/hosts'])

    # Programs.

    def spawn(self, name, argv, **options):
        process = Process(name, argv, f'{self.logs}/{name}.log', **options)
        self.processes.append(process)
        return process

    def start_control(self, *flags, timeout=20):
        """Starts the control plane in its own pod and waits until it answers and has written the trust bundle."""
        # As a file's owner it must be able to read its own state, so it stays root of the namespaces.
        self.control = self.spawn('control', ['nsenter', f'--net={self.control_pod.netns}', self.binaries.control,
                                              '--config-dir', self.config, '--state-dir', self.state,
                                              '--listen', '0.0.0.0:15012', *flags])
        written = os.path.join(self.state, 'bundle.pem')

        def look():
            if not self.control.running:
                raise MeshError(f'the control plane ended by itself:\n{self.control.tail()}')
            listening = run(['nsenter', f'--net={self.control_pod.netns}', 'sh', '-c',
                             'cat /proc/net/tcp /proc/net/tcp6'], check=False).stdout
            return os.path.exists(written) and ':3AA4 ' in listening  # 15012
        try:
            wait_for('the control plane listens and has written its trust bundle', look, timeout)
        except MeshError as e:
            raise MeshError(f'{e}; its last words:\n{self.control.tail()}') from e
        shutil.copy(written, self.bundle)
        os.chmod(self.bundle, 0o644)
        return self.control

    def create_token(self, spiffe_id, ttl='10m'):
        result = run([self.binaries.control, 'token', 'create', '--state-dir', self.state, '--spiffe-id', spiffe_id,
                      '--ttl', ttl])
        return result.stdout.strip()

    def start_sidecars(self, *flags):
        members = [pod for pod in self.pods.values() if pod.tunnel != 'NONE']
        for pod in members:
            pod.start_sidecar(*flags)
        for pod in members:
            pod.wait_ready()

    def control_metrics(self):
        return run(['nsenter', f'--net={self.control_pod.netns}', 'curl', '-sS', '--max-time', '5',
                    'http://127.0.0.1:15014/metrics']).stdout

    def close(self):
        """Applications first, sidecars next, the control plane last; all are gone when it returns."""
        for process in reversed(self.processes):
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + 8
        for process in self.processes:
            try:
                process.popen.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        self.processes.clear()
