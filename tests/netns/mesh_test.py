"""The byte path between real pods: what an application sees must be what it would see without a mesh."""

import re
import signal
import subprocess
import sys
import time

from tests.support import applications, callers, netns_test
from tests.support.mesh import run, wait_for
from tests.support.packets import Capture, why_not_tls13
from tests.support.prometheus_text import Samples

PORT = 7000
DIGEST, GREETING, RESETTING, ECHO, ENDING, CALLER = range(PORT, PORT + 6)
NOBODY = 7999


def source(module):
    with open(module.__file__) as file:
        return file.read()


class MeshFixture(netns_test.MeshTestCase):
    """`one` and `two` have sidecars and tunnels; `direct` a sidecar without tunnel; `legacy` has none."""

    @classmethod
    def build(cls, mesh):
        mesh.add_pod('one', capture_flags=[f'--exclude-outbound-port={NOBODY - 1}'])
        mesh.add_pod('two', ports={'echo': ECHO})
        mesh.add_pod('direct', tunnel='TLS')
        mesh.add_pod('legacy', tunnel='NONE')
        mesh.add_service('two', 80, ECHO)
        mesh.add_service('greeter', 81, GREETING, {'app': 'two'})
        mesh.add_service('self', 82, ECHO, {'app': 'one'})
        mesh.start_control()
        mesh.start_sidecars()
        for pod in mesh.pods.values():
            process = pod.spawn('applications', [sys.executable, '-c', source(applications), str(PORT)])
            wait_for(process.name, lambda: 'ready' in process.output())
            pod.applications = process

    @property
    def one(self):
        return self.mesh.pods['one']

    @property
    def two(self):
        return self.mesh.pods['two']

    @property
    def direct(self):
        return self.mesh.pods['direct']

    @property
    def legacy(self):
        return self.mesh.pods['legacy']

    def call(self, pod, what, address, port, *arguments, timeout=30):
        """(what the caller met, seconds)."""
        result = pod.run([sys.executable, '-c', source(callers), what, address, str(port), *map(str, arguments)], timeout=timeout)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.strip().splitlines()
        return '\n'.join(lines[:-1]), float(lines[-1])

    def opened(self, pod, **labels):
        return Samples(pod.admin('/metrics')).sum('countersign_tcp_connections_opened_total', **labels)

    def assert_log(self, pod, pattern, since=0):
        try:
            wait_for('the line', lambda: re.search(pattern, pod.sidecar.output()[since:]), 3)
        except Exception:
            self.fail(f'{pod.name} has no line like {pattern!r}; its last lines:\n{pod.sidecar.tail()}')


class BytePathTest(MeshFixture):
    def test_services_and_pod_addresses_are_reached_in_both_families_over_mutual_tls(self):
        capture = Capture('br0', f'/run/mesh/{self._testMethodName}.pcap', 'not port 15012')
        before = self.opened(self.two, reporter='destination', connection_security_policy='mutual_tls')
        service = self.mesh.services['two']
        targets = [(service.ipv4, 80), (service.ipv6, 80), (self.two.ipv4, ECHO), (self.two.ipv6, ECHO)]
        for address, port in targets:
            self.assertEqual(self.call(self.one, 'line', address, port, 'plainly-visible')[0], 'plainly-visible', address)
        traffic = capture.stop()
        after = self.opened(self.two, reporter='destination', connection_security_policy='mutual_tls')
        self.assertEqual(after - before, len(targets))
        self.assertEqual(traffic.find(b'plainly-visible'), 0)
        self.assertNotIn(b'plainly-visible', traffic.raw)
        self.assertTrue(traffic.with_payload())

    def test_both_sides_count_the_same_identities(self):
        self.call(self.one, 'line', self.two.ipv4, ECHO)
        for pod, reporter in ((self.one, 'source'), (self.two, 'destination')):
            self.assertGreater(self.opened(pod, reporter=reporter, source_principal=self.one.spiffe_id,
                                           destination_principal=self.two.spiffe_id,
                                           connection_security_policy='mutual_tls'), 0, pod.name)

    def test_a_server_that_speaks_first_is_heard_at_once(self):
        for address, port in ((self.mesh.services['greeter'].ipv4, 81), (self.two.ipv6, GREETING)):
            met, took = self.call(self.one, 'greeting', address, port)
            self.assertEqual(met, '220 speak quit')
            self.assertLess(took, 2)

    def test_half_close_is_carried(self):
        for size in (0, 1, 3_000_000):
            self.assertEqual(self.call(self.one, 'half_close', self.two.ipv4, DIGEST, size)[0], 'right', size)

    def test_a_servers_reset_arrives_as_a_reset(self):
        self.assertEqual(self.call(self.one, 'line', self.two.ipv4, RESETTING)[0], 'connection reset')

    def test_a_callers_reset_arrives_as_a_reset(self):
        before = self.two.applications.output()
        self.call(self.one, 'reset', self.two.ipv4, ENDING)
        wait_for('the application saw the end', lambda: 'ended' in self.two.applications.output()[len(before):], 5)
        self.assertIn('ended: reset', self.two.applications.output()[len(before):])

    def test_a_callers_orderly_end_arrives_as_an_end(self):
        before = self.two.applications.output()
        self.call(self.one, 'line', self.two.ipv4, ECHO)
        result = self.one.run([sys.executable, '-c', f'import socket; s = socket.create_connection(("{self.two.ipv4}", {ENDING}));'
                                                     's.sendall(b"x"); s.close()'])
        self.assertEqual(result.returncode, 0, result.stderr)
        wait_for('the application saw the end', lambda: 'ended' in self.two.applications.output()[len(before):], 5)
        self.assertIn('ended: fin', self.two.applications.output()[len(before):])

    def test_a_port_where_nobody_listens_fails_fast_and_not_as_an_orderly_end(self):
        met, took = self.call(self.one, 'line', self.two.ipv4, NOBODY)
        self.assertIn(met, ('connection reset', 'connection refused'))
        self.assertLess(took, 3)

    def test_a_silent_caller_of_a_port_where_nobody_listens_is_refused_and_its_sidecar_lives(self):
        # Its tunnel is there before the refusal, as a server might have spoken first.
        for port in (NOBODY, 15006):
            self.assertEqual(self.call(self.one, 'listen_only', self.two.ipv4, port)[0], 'connection reset')
        self.assertEqual(self.call(self.one, 'line', self.two.ipv4, ECHO)[0], 'hello')

    def test_five_hundred_connections_at_once(self):
        self.assertEqual(self.call(self.one, 'many', self.two.ipv4, ECHO, 500)[0], '500 right')

    def test_an_excluded_port_is_not_touched(self):
        # Nothing listens there, and without a proxy between the kernel says so itself.
        self.assertEqual(self.call(self.one, 'line', self.legacy.ipv4, NOBODY - 1)[0], 'connection refused')

    def test_a_peer_without_tunnels_is_reached_by_tls_on_its_own_port(self):
        capture = Capture('br0', f'/run/mesh/{self._testMethodName}.pcap', f'tcp port {ECHO}')
        for address in (self.direct.ipv4, self.direct.ipv6):
            self.assertEqual(self.call(self.one, 'line', address, ECHO, 'directly')[0], 'directly')
        traffic = capture.stop()
        streams = traffic.with_payload()
        self.assertEqual(len(streams), 4)
        for stream in streams:
            self.assertIsNone(why_not_tls13(stream))
        self.assertEqual(self.call(self.one, 'half_close', self.direct.ipv4, DIGEST, 1_000_000)[0], 'right')
        self.assertEqual(self.call(self.one, 'greeting', self.direct.ipv4, GREETING)[0], '220 speak quit')


class SelfCallTest(MeshFixture):
    def test_calls_to_itself_by_loopback_and_pod_address_work(self):
        for address in ('127.0.0.1', '::1', self.one.ipv4, self.one.ipv6):
            self.assertEqual(self.call(self.one, 'line', address, ECHO)[0], 'hello', address)

    def test_a_call_to_a_service_that_leads_back_to_itself_works(self):
        service = self.mesh.services['self']
        for address in (service.ipv4, service.ipv6):
            self.assertEqual(self.call(self.one, 'line', address, 82)[0], 'hello', address)


class LoopTest(MeshFixture):
    PROXY_PORTS = (15000, 15001, 15006)

    def test_capture_and_admin_ports_refuse_strangers(self):
        for address in (self.two.ipv4, self.two.ipv6):
            for port in self.PROXY_PORTS:
                self.assertIn(self.call(self.legacy, 'line', address, port)[0], ('connection reset', 'connection refused'),
                              f'{address}:{port}')

    def test_capture_and_admin_ports_refuse_members(self):
        for port in self.PROXY_PORTS:
            self.assertIn(self.call(self.one, 'line', self.two.ipv4, port)[0], ('connection reset', 'connection refused'), port)

    def test_a_capture_port_called_directly_from_inside_refuses(self):
        for address in ('127.0.0.1', self.one.ipv4, self.one.ipv6):
            for port in (15001, 15006):
                self.assertIn(self.call(self.one, 'line', address, port)[0], ('connection reset', 'connection refused'),
                              f'{address}:{port}')

    def test_refusing_costs_no_loop_and_the_mesh_still_works(self):
        for _ in range(20):
            self.call(self.legacy, 'line', self.two.ipv4, 15006)
        cpu = self.two.sidecar.cpu_seconds()
        time.sleep(1)
        self.assertLess(self.two.sidecar.cpu_seconds() - cpu, 0.3)
        self.assertEqual(self.call(self.one, 'line', self.two.ipv4, ECHO)[0], 'hello')


class PolicyTest(MeshFixture):
    def tearDown(self):
        self.mesh.write_mesh()
        self.mesh.remove_config('policy.yaml')
        wait_for('the default policy is back', lambda: self.call(self.legacy, 'line', self.two.ipv4, ECHO)[0] == 'hello'
                 and self.call(self.one, 'line', self.legacy.ipv4, ECHO)[0] == 'hello', 10)

    def policy(self, text):
        self.mesh.write_config('policy.yaml', f"""\
apiVersion: countersign.dev/v1alpha1
kind: PeerAuthentication
metadata:
  name: two
  namespace: {self.mesh.namespace}
spec:
  selector:
    matchLabels: {{app: two}}
{text}""")

    def becomes(self, what, pod, address, port, expected):
        wait_for(what, lambda: self.call(pod, 'line', address, port)[0] in expected, 10)

    def test_permissive_lets_plaintext_in_and_servers_speak_first_at_once(self):
        for address in (self.two.ipv4, self.two.ipv6):
            self.assertEqual(self.call(self.legacy, 'line', address, ECHO)[0], 'hello')
            met, took = self.call(self.legacy, 'greeting', address, GREETING)
            self.assertEqual(met, '220 speak quit')
            self.assertLess(took, 2)
        self.assertEqual(self.call(self.legacy, 'half_close', self.two.ipv4, DIGEST, 100_000)[0], 'right')

    def test_permissive_lists_plaintext_callers_by_address_and_port(self):
        self.call(self.legacy, 'line', self.two.ipv4, ECHO)
        samples = Samples(self.two.admin('/metrics'))
        self.assertGreater(samples.sum('countersign_plaintext_callers_total', source=self.legacy.ipv4, port=str(ECHO)), 0)

    def test_strict_refuses_plaintext_says_why_and_lets_members_in(self):
        self.policy('  mtls: {mode: STRICT}\n')
        since = len(self.two.sidecar.output())
        self.becomes('plaintext is refused', self.legacy, self.two.ipv4, ECHO, ('connection reset', 'end'))
        self.assert_log(self.two, re.escape(self.legacy.ipv4) + f'.*{self.mesh.namespace}/two.*STRICT', since)
        met, _ = self.call(self.legacy, 'listen_only', self.two.ipv6, GREETING)
        self.assertNotIn('220', met)
        self.assertEqual(self.call(self.one, 'line', self.two.ipv4, ECHO)[0], 'hello')
        self.assertEqual(self.call(self.one, 'greeting', self.two.ipv4, GREETING)[0], '220 speak quit')

    def test_strict_ends_plaintext_connections_that_are_open_and_spares_members(self):
        open_ones = {}
        for pod in (self.legacy, self.one):
            open_ones[pod.name] = subprocess.Popen(
                pod.command([sys.executable, '-c', source(callers), 'idle', self.two.ipv4, str(ECHO), '4']),
                stdout=subprocess.PIPE, text=True)
            self.assertEqual(open_ones[pod.name].stdout.readline().strip(), 'idle')
        self.policy('  mtls: {mode: STRICT}\n')
        met = {name: caller.communicate(timeout=20)[0] for name, caller in open_ones.items()}
        self.assertNotIn('before after', met['legacy'])
        self.assertIn('before after', met['one'])

    def test_disable_means_plaintext_for_members_as_well(self):
        self.policy('  mtls: {mode: DISABLE}\n')
        wait_for('members are told', lambda: 'DISABLE' in self.two.admin('/config_dump'), 10)

        def plainly():
            capture = Capture('br0', f'/run/mesh/{self._testMethodName}.pcap', f'tcp port {ECHO}')
            met, _ = self.call(self.one, 'line', self.two.ipv4, ECHO, 'in-plain-words')
            return met == 'in-plain-words' and capture.stop().find(b'in-plain-words') == 2
        wait_for('one speaks plaintext to two', plainly, 10)

    def test_a_port_may_differ_from_its_workload(self):
        self.policy(f'  mtls: {{mode: STRICT}}\n  portLevelMtls:\n    {DIGEST}: {{mode: PERMISSIVE}}\n')
        self.becomes('plaintext is refused', self.legacy, self.two.ipv4, ECHO, ('connection reset', 'end'))
        self.assertEqual(self.call(self.legacy, 'half_close', self.two.ipv4, DIGEST, 1000)[0], 'right')

    def test_registry_only_refuses_what_the_mesh_does_not_know(self):
        self.assertIn(self.call(self.one, 'line', '10.77.0.1', NOBODY)[0], ('connection reset', 'connection refused'))
        self.mesh.write_mesh(outbound='REGISTRY_ONLY')
        since = len(self.one.sidecar.output())
        server = self.mesh.spawn('outside', [sys.executable, '-c', source(applications), '9100'])
        try:
            wait_for('the outside server', lambda: 'ready' in server.output())
            self.becomes('the outside is refused', self.one, '10.77.0.1', 9103, ('connection reset', 'end'))
            self.assert_log(self.one, r'10\.77\.0\.1:9103.*REGISTRY_ONLY', since)
            self.mesh.write_mesh()
            self.becomes('the outside is reached', self.one, '10.77.0.1', 9103, ('hello',))
        finally:
            server.stop()

    def test_an_applications_own_tls_passes_through_untouched(self):
        folder = self.two.folder
        run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1', '-subj',
             '/CN=own', '-keyout', f'{folder}/own-key.pem', '-out', f'{folder}/own.pem'])
        for name in ('own-key.pem', 'own.pem'):
            run(['chown', str(self.two.uid), f'{folder}/{name}'])
        server = self.two.spawn('s_server', ['openssl', 's_server', '-accept', '8443', '-cert', f'{folder}/own.pem', '-key',
                                             f'{folder}/own-key.pem', '-www'])
        try:
            for pod in (self.legacy, self.one):
                wait_for(f'{pod.name} sees the application\'s own certificate', lambda: 'CN = own' in pod.run(
                    ['openssl', 's_client', '-connect', f'{self.two.ipv4}:8443'], input='', timeout=10).stdout, 10, 0.3)
        finally:
            server.stop()


class RevocationTest(MeshFixture):
    def deny(self, verb, pod):
        run([self.mesh.binaries.control, 'deny', verb, '--state-dir', self.mesh.state, '--spiffe-id', pod.spiffe_id])

    def test_a_denied_identity_loses_its_open_connections_within_two_seconds_and_gets_no_new_ones(self):
        caller = subprocess.Popen(self.direct.command([sys.executable, '-c', source(callers), 'idle', self.two.ipv4, str(ECHO), '3']),
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual(caller.stdout.readline().strip(), 'idle')
        self.assertEqual(self.callers_of(self.two, self.direct), ['idle'])
        self.deny('add', self.direct)
        try:
            denied = time.monotonic()
            wait_for('the connection has ended', lambda: 'idle' not in self.callers_of(self.two, self.direct), 5)
            self.assertLess(time.monotonic() - denied, 2)
            self.assertNotIn('before after', caller.communicate(timeout=20)[0])
            self.assertNotEqual(self.call(self.direct, 'line', self.two.ipv4, ECHO)[0], 'hello')
            self.assertEqual(self.call(self.one, 'line', self.two.ipv4, ECHO)[0], 'hello')
        finally:
            self.deny('remove', self.direct)
        wait_for('it is let in again', lambda: self.call(self.direct, 'line', self.two.ipv4, ECHO)[0] == 'hello', 20)

    @staticmethod
    def callers_of(pod, caller):
        """`idle` if the caller's identity has a connection open there."""
        connections = pod.admin_json('/connections')['connections']
        return ['idle' for c in connections if c['direction'] == 'inbound' and c['peer_id'] == caller.spiffe_id]


class LifeTest(MeshFixture):
    """Named to run last but for nothing: it stops a sidecar and starts it again."""

    def restart(self, pod):
        pod.sidecar.stop()
        pod.start_sidecar()
        pod.wait_ready()

    def test_a_drained_sidecar_serves_open_connections_until_the_drain_time(self):
        caller = subprocess.Popen(self.one.command([sys.executable, '-c', source(callers), 'idle', self.two.ipv4, str(ECHO), '2']),
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual(caller.stdout.readline().strip(), 'idle')
        self.two.sidecar.signal(signal.SIGTERM)
        try:
            output, _ = caller.communicate(timeout=20)
            self.assertIn('before after', output)
            wait_for('the sidecar ends', lambda: not self.two.sidecar.running, 15)
            self.assertEqual(self.two.sidecar.popen.returncode, 0)
        finally:
            self.two.start_sidecar()
            self.two.wait_ready()
        wait_for('callers find it again', lambda: self.call(self.one, 'line', self.two.ipv4, ECHO)[0] == 'hello', 10)

    def test_a_killed_sidecar_ends_its_callers_connections_and_is_found_again(self):
        caller = subprocess.Popen(self.one.command([sys.executable, '-c', source(callers), 'idle', self.two.ipv4, str(ECHO), '2']),
                                  stdout=subprocess.PIPE, text=True)
        self.assertEqual(caller.stdout.readline().strip(), 'idle')
        self.two.sidecar.kill()
        output, _ = caller.communicate(timeout=20)
        self.assertNotIn('before after', output)
        self.two.start_sidecar()
        self.two.wait_ready()
        wait_for('callers find it again', lambda: self.call(self.one, 'line', self.two.ipv4, ECHO)[0] == 'hello', 10)


if __name__ == '__main__':
    netns_test.main()
