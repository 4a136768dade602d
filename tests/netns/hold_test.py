"""An application that is faster than its proxy: its connections are held until identity and configuration are there."""

import subprocess
import sys
import time

from tests.support import applications, callers, netns_test
from tests.support.mesh import wait_for

ECHO = 7003


def source(module):
    with open(module.__file__) as file:
        return file.read()


class HoldTest(netns_test.MeshTestCase):
    @classmethod
    def build(cls, mesh):
        cls.early = mesh.add_pod('early')
        cls.late = mesh.add_pod('late')
        mesh.add_pod('server')
        mesh.start_control()
        # The token and the bundle of a pod that starts while the control plane is away.
        cls.tokens = {pod: mesh.create_token(pod.spiffe_id) for pod in (cls.early, cls.late)}
        server = mesh.pods['server']
        server.start_sidecar()
        server.wait_ready()
        process = server.spawn('applications', [sys.executable, '-c', source(applications), '7000'])
        wait_for('the application', lambda: 'ready' in process.output())
        mesh.control.kill()

    def call(self, pod, *arguments):
        command = pod.command([sys.executable, '-c', source(callers), *arguments])
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def test_1_without_a_control_plane_the_wait_is_bounded_and_ends_in_words(self):
        self.late.start_sidecar('--hold-time=2s', token=self.tokens[self.late])
        wait_for('the sidecar listens', lambda: self.late.run(['curl', '-s', 'http://127.0.0.1:15000/ready']).returncode == 0)
        started = time.monotonic()
        output, _ = self.call(self.late, 'line', self.mesh.pods['server'].ipv4, str(ECHO)).communicate(timeout=15)
        took = time.monotonic() - started
        self.assertNotIn('hello', output)
        self.assertGreater(took, 1.5)
        self.assertLess(took, 6)
        self.assertRegex(self.late.sidecar.output(), r'refused the connection of .* to .*:7003')

    def test_2_a_connection_from_before_the_identity_succeeds_once_it_is_there(self):
        self.early.start_sidecar(token=self.tokens[self.early])
        wait_for('the sidecar listens', lambda: self.early.run(['curl', '-s', 'http://127.0.0.1:15000/ready']).returncode == 0)
        self.assertFalse(self.early.ready())
        caller = self.call(self.early, 'line', self.mesh.pods['server'].ipv4, str(ECHO))
        time.sleep(1)
        self.assertIsNone(caller.poll(), 'the connection was not held')
        self.mesh.start_control()
        output, _ = caller.communicate(timeout=20)
        self.assertIn('hello', output)


if __name__ == '__main__':
    netns_test.main()
