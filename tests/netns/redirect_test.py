"""countersign-redirect on a real kernel: what is captured, what is not, twice is once, and cleanup leaves nothing."""

import subprocess
import sys

from tests.support import capture_stub, netns_test
from tests.support.mesh import PROXY_UID, run, wait_for

SERVE = """
import socket, sys
listeners = []
for port in map(int, sys.argv[1:]):
    for family, address in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        s.listen()
        listeners.append(s)
print('ready', flush=True)
import selectors
selector = selectors.DefaultSelector()
for s in listeners:
    selector.register(s, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        c, _ = key.fileobj.accept()
        c.sendall(b'application\\n')
        c.close()
"""

CALL = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
print(s.makefile().readline().strip())
"""


class RedirectClaims:
    """`here` has rules and a stub in the proxy's place; `there` is a plain pod with a plain server."""

    backend = None

    @classmethod
    def build(cls, mesh):
        RedirectClaims.here = mesh.add_pod('here', capture=False)
        RedirectClaims.there = mesh.add_pod('there', tunnel='NONE')
        with open(capture_stub.__file__) as file:
            stub = file.read()  # other users may not be able to read it where it lies
        programs = [cls.here.spawn('stub', [sys.executable, '-c', stub], uid=PROXY_UID)]
        for pod in (cls.here, cls.there):
            programs.append(pod.spawn('server', [sys.executable, '-c', SERVE, '80', '81', '82', '15008', '15020', '15021']))
        for program in programs:
            wait_for(program.name, lambda: 'ready' in program.output())

    def setUp(self):
        self.redirect()

    def redirect(self, *flags):
        return self.here.add_capture(f'--backend={self.backend}', *flags)

    def rules(self):
        """The rules in force, without counters."""
        if self.backend == 'nft':
            tools = (['nft', 'list', 'ruleset'],)
        else:
            tools = (['iptables-save', '-t', 'nat'], ['ip6tables-save', '-t', 'nat'])
        text = ''.join(run(['nsenter', f'--net={self.here.netns}', *tool]).stdout for tool in tools)
        return [line.split('[')[0] for line in text.splitlines() if not line.startswith('#')]

    def call(self, pod, address, port, uid=None):
        result = pod.run([sys.executable, '-c', CALL, address, str(port)], uid=uid)
        self.assertEqual(result.returncode, 0, f'{address}:{port}: {result.stderr}')
        return result.stdout.strip()

    def test_outbound_is_captured_and_its_destination_kept_in_both_families(self):
        self.assertEqual(self.call(self.here, self.there.ipv4, 80), f'15001 {self.there.ipv4}:80')
        self.assertEqual(self.call(self.here, self.there.ipv6, 80), f'15001 [{self.there.ipv6}]:80')

    def test_service_addresses_that_nobody_has_are_captured(self):
        self.assertEqual(self.call(self.here, '10.96.0.10', 3306), '15001 10.96.0.10:3306')
        self.assertEqual(self.call(self.here, 'fd00:96::a', 3306), '15001 [fd00:96::a]:3306')

    def test_inbound_is_captured_in_both_families(self):
        self.assertEqual(self.call(self.there, self.here.ipv4, 80), f'15006 {self.here.ipv4}:80')
        self.assertEqual(self.call(self.there, self.here.ipv6, 80), f'15006 [{self.here.ipv6}]:80')

    def test_the_admin_port_is_captured_from_outside(self):
        self.assertEqual(self.call(self.there, self.here.ipv4, 15000), f'15006 {self.here.ipv4}:15000')

    def test_the_proxys_own_ports_are_reached_directly(self):
        for port in (15008, 15020, 15021):
            self.assertEqual(self.call(self.there, self.here.ipv4, port), 'application')

    def test_the_proxys_own_connections_are_left_alone(self):
        self.assertEqual(self.call(self.here, self.there.ipv4, 80, uid=PROXY_UID), 'application')
        self.assertEqual(self.call(self.here, self.there.ipv6, 80, uid=PROXY_UID), 'application')

    def test_calls_to_itself_stay_in_the_pod(self):
        for address in ('127.0.0.1', '::1', self.here.ipv4, self.here.ipv6):
            self.assertEqual(self.call(self.here, address, 80), 'application', address)
            self.assertEqual(self.call(self.here, address, 80, uid=PROXY_UID), 'application', address)

    def test_excluded_ports_are_left_alone(self):
        self.redirect('--exclude-outbound-port=81-90', '--exclude-inbound-port=82')
        self.assertEqual(self.call(self.here, self.there.ipv4, 80), f'15001 {self.there.ipv4}:80')
        self.assertEqual(self.call(self.here, self.there.ipv4, 81), 'application')
        self.assertEqual(self.call(self.here, self.there.ipv6, 81), 'application')
        self.assertEqual(self.call(self.there, self.here.ipv4, 81), f'15006 {self.here.ipv4}:81')
        self.assertEqual(self.call(self.there, self.here.ipv6, 82), 'application')

    def test_excluded_blocks_are_left_alone(self):
        self.redirect(f'--exclude-outbound-cidr={self.there.ipv4},fd77::/64')
        self.assertEqual(self.call(self.here, self.there.ipv4, 80), 'application')
        self.assertEqual(self.call(self.here, self.there.ipv6, 80), 'application')
        self.assertEqual(self.call(self.here, '10.96.0.10', 80), '15001 10.96.0.10:80')

    def test_excluded_callers_are_left_alone(self):
        self.redirect('--exclude-inbound-cidr=10.77.0.0/16')
        self.assertEqual(self.call(self.there, self.here.ipv4, 80), 'application')
        self.assertEqual(self.call(self.there, self.here.ipv6, 80), f'15006 [{self.here.ipv6}]:80')

    def test_excluded_users_are_left_alone(self):
        self.redirect('--exclude-outbound-uid=5000-5010')
        self.assertEqual(self.call(self.here, self.there.ipv4, 80, uid=5005), 'application')
        self.assertEqual(self.call(self.here, self.there.ipv4, 80, uid=5011), f'15001 {self.there.ipv4}:80')

    def test_included_blocks_and_ports_alone_are_captured(self):
        self.redirect('--include-outbound-cidr=10.96.0.0/16,fd00:96::/64', '--include-outbound-port=81',
                      '--include-inbound-port=82')
        self.assertEqual(self.call(self.here, '10.96.0.10', 80), '15001 10.96.0.10:80')
        self.assertEqual(self.call(self.here, self.there.ipv4, 80), 'application')
        self.assertEqual(self.call(self.here, self.there.ipv4, 81), f'15001 {self.there.ipv4}:81')
        self.assertEqual(self.call(self.there, self.here.ipv4, 80), 'application')
        self.assertEqual(self.call(self.there, self.here.ipv4, 82), f'15006 {self.here.ipv4}:82')

    def test_twice_is_once(self):
        self.redirect('--exclude-outbound-port=22')
        once = self.rules()
        self.redirect('--exclude-outbound-port=22')
        self.assertEqual(self.rules(), once)

    def test_another_backend_replaces_the_rules(self):
        other = 'iptables' if self.backend == 'nft' else 'nft'
        self.here.add_capture(f'--backend={other}')
        mine = 'COUNTERSIGN_' if self.backend == 'iptables' else ' countersign {'
        self.assertFalse([line for line in self.rules() if mine in line])
        self.assertEqual(self.call(self.here, self.there.ipv4, 80), f'15001 {self.there.ipv4}:80')

    def test_dry_run_changes_nothing(self):
        before = self.rules()
        printed = self.here.add_capture('--dry-run', '--exclude-outbound-port=22').stdout
        self.assertIn('22', printed)
        self.assertEqual(self.rules(), before)

    def test_cleanup_leaves_nothing_and_may_be_repeated(self):
        for _ in range(2):
            self.here.add_capture('--cleanup')
            left = [line for line in self.rules() if 'countersign' in line.lower()]
            self.assertEqual(left, [])
        self.assertEqual(self.call(self.here, self.there.ipv4, 80), 'application')
        self.assertEqual(self.call(self.there, self.here.ipv6, 80), 'application')

    def test_rules_that_the_kernel_refuses_leave_the_old_ones_in_force(self):
        before = self.rules()
        result = subprocess.run(['nsenter', f'--net={self.here.netns}', 'setpriv', '--reuid=4000', '--clear-groups',
                                 self.mesh.binaries.redirect, f'--backend={self.backend}'],
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertIn('CAP_NET_ADMIN', result.stderr)
        self.assertEqual(self.rules(), before)


class NftRedirectTest(RedirectClaims, netns_test.MeshTestCase):
    backend = 'nft'


class IptablesRedirectTest(RedirectClaims, netns_test.MeshTestCase):
    backend = 'iptables'


if __name__ == '__main__':
    netns_test.main()
