"""h2spec, which nobody here wrote, against both of a sidecar's HTTP/2 entrances. h2spec_exceptions.txt says which cases do
not apply and why; it must be exact: a case that begins to fail, or to pass, fails the test."""

import html
import os
import re
import unittest

from tests.support import forgery, netns_test, pod_socket
from tests.support.http_mesh import APP, HttpMesh
from tests.support.mesh import STATE

EXCEPTIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'h2spec_exceptions.txt')
RELAY = 9000
FEWEST = 90  # fewer cases than this, and h2spec has not run


def exceptions(entrance):
    """{case: reason}; the lines are `ENTRANCE | CASE | REASON`, where ENTRANCE may be `both`."""
    found = {}
    with open(EXCEPTIONS) as file:
        for line in file:
            if line.strip() and not line.startswith('#'):
                where, case, reason = (field.strip() for field in line.split('|'))
                if where in (entrance, 'both'):
                    found[case] = reason
    return found


def read_report(path):
    """({names of all cases}, {name of a case that failed or was skipped: why}). What it quotes from us is not escaped, so
    that the report is no XML."""
    with open(path, errors='replace') as file:
        pieces = re.split(r'<testcase ', file.read())[1:]
    cases, failed = set(), {}
    for piece in pieces:
        package, title, rest = re.match(r'package="([^"]*)" classname="(.*?)" time="[\d.]*"(.*)', piece, re.S).groups()
        name = f'{package} {html.unescape(title)}'
        cases.add(name)
        if re.search(r'<(failure|error|skipped)\b', rest):
            failed[name] = re.sub(r'\s+', ' ', html.unescape(re.sub(r'<[^>]*>', ' ', rest))).strip()
    return cases, failed


class H2specTest(HttpMesh):
    pods = ()

    def check(self, entrance, pod, host, port):
        report = f'{pod.folder}/h2spec.xml'
        said = pod.run([self.mesh.binaries.foreign('h2spec'), '-h', host, '-p', str(port), '-P', '/upload', '-o', '2', '-j', report], timeout=400)
        self.assertTrue(os.path.exists(report), said.stdout[-2000:] + said.stderr[-2000:])
        cases, failed = read_report(report)
        self.assertGreater(len(cases), FEWEST, said.stdout[-2000:])
        print(f'    {entrance}: {len(cases) - len(failed)} of {len(cases)} cases pass', flush=True)
        expected = exceptions(entrance)
        for name, why in failed.items():
            with self.subTest(name):
                self.assertIn(name, expected, f'fails: {why}')
        for name in expected:
            with self.subTest(name):
                self.assertIn(name, failed, 'passes, or is not there any more: take it out of h2spec_exceptions.txt')
        self.assertEqual(self.curl('http://v1/').status, 200)

    def test_the_applications_side_of_the_outbound_sidecar(self):
        self.check('outbound', self.client, self.mesh.services['v1'].ipv4, 80)

    def test_the_meshs_side_of_the_inbound_sidecar(self):
        forger = forgery.Forger.of_the_mesh(f'{STATE}/forged', self.mesh)
        credentials = forger.leaf('h2spec', ['spiffe://demo.example/ns/demo/sa/h2spec'])
        pod_socket.relay(self.legacy, RELAY, lambda: pod_socket.connect_tls(self.legacy, self.one.ipv4, APP, *credentials, 'countersign-h2'))
        self.check('mesh', self.legacy, '127.0.0.1', RELAY)


if __name__ == '__main__':
    unittest.TestCase.maxDiff = None
    netns_test.main()
