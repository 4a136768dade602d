"""HTTP between real pods, carried by two sidecars: real programs must not notice, and both sidecars must have noticed."""

import json
import time

from tests.support import http2, http_callers, netns_test, pod_socket, tunnel_ends, websocket
from tests.support.http_mesh import APP, GRPC, PYTHON, WEBSOCKET, HttpMesh
from tests.support.mesh import publish, wait_for
from tests.support.packets import Capture

GIB = 1 << 30


class CurlTest(HttpMesh):
    def test_http1_and_http2_reach_a_service_and_a_pods_address(self):
        for target in ('web', f'one-pod:{APP}', f'[{self.one.ipv6}]:{APP}', 'undeclared'):
            for option, version in (('--http1.1', '1.1'), ('--http2-prior-knowledge', '2')):
                answer = self.curl(f'http://{target}/status/200', option)
                self.assertEqual((answer.status, answer.version), (200, version), f'{target} {option}: {answer}')

    def test_a_pod_that_calls_itself_is_served(self):
        for target in ('v1', f'one-pod:{APP}', f'127.0.0.1:{APP}'):
            for option in ('--http1.1', '--http2-prior-knowledge'):
                if option == '--http1.1' or target == 'v1':
                    self.assertEqual(self.curl(f'http://{target}/', option, pod=self.one).status, 200, target)

    def test_the_wire_carries_tls_alone(self):
        capture = Capture('br0', f'/run/mesh/{self._testMethodName}.pcap', 'not port 15012')
        for option in ('--http1.1', '--http2-prior-knowledge'):
            self.assertEqual(self.curl('http://web/plainly-visible', option).status, 200)
        traffic = capture.stop()
        self.assertNotIn(b'plainly-visible', traffic.raw)
        self.assertTrue(traffic.with_payload())

    def test_many_requests_share_few_connections_between_the_sidecars(self):
        self.curl('http://v1/')
        capture = Capture('br0', f'/run/mesh/{self._testMethodName}.pcap', f'host {self.one.ipv4} and not port 15012')
        urls = ' '.join(f'http://v1/{n}' for n in range(50))
        result = self.client.run(['sh', '-c', f'for url in {urls}; do curl -sS -o /dev/null $url; done'], timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        connections = {frozenset((stream.source, stream.destination)) for stream in capture.stop().with_payload()}
        self.assertLessEqual(len(connections), 2)

    def test_methods_bodies_and_fields_arrive_as_sent(self):
        for method in ('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND'):
            answer = self.curl('http://v1/echo?a=b&c=%20', '-X', method, '-H', 'X-Mixed-Case: Some  Value', '-d', 'body')
            self.assertEqual(answer.status, 200, answer)
            echo = json.loads(answer.body)
            self.assertEqual((echo['method'], echo['target'], echo['bytes']), (method, '/echo?a=b&c=%20', 4))
            self.assertEqual(answer.seen('x-mixed-case'), ['Some  Value'])
            self.assertEqual(answer.seen('host'), ['v1'])

    def test_repeated_fields_and_cookies_survive(self):
        answer = self.curl('http://v1/echo', '-H', 'X-A: 1', '-H', 'X-A: 2', '-H', 'Cookie: a=1; b=2')
        self.assertIn(answer.seen('x-a'), (['1', '2'], ['1, 2']), answer)
        self.assertEqual(answer.seen('cookie'), ['a=1; b=2'])

    def test_head_and_empty_answers_have_no_body(self):
        answer = self.curl('http://v1/big/1000', '--head')
        self.assertEqual((answer.status, answer.header('content-length'), answer.body), (200, '1000', ''))
        for status in (204, 304):
            self.assertEqual(self.curl(f'http://v1/status/{status}').status, status)

    def test_chunked_until_close_and_trailers(self):
        for option in ('--http1.1', '--http2-prior-knowledge'):
            answer = self.curl('http://v1/until-close', option)
            self.assertEqual(answer.body, 'all there is', answer)
            result = self.client.run(['curl', '-sS', '-D', '-', '-o', '/dev/null', option, 'http://v1/chunked/600000'])
            self.assertRegex(result.stdout.lower(), r'x-digest: [0-9a-f]{64}', 'the trailer is lost')

    def test_100_continue_is_the_applications_own(self):
        for option in ('--http1.1', '--http2-prior-knowledge'):
            answer = self.curl('http://v1/upload', option, '-H', 'Expect: 100-continue', '-d', 'x' * 2000)
            self.assertEqual([status for status, _ in answer.heads], [100, 200], answer)
        refused = self.curl('http://v1/refuse-expect', '-H', 'Expect: 100-continue', '-d', 'x' * 2000)
        self.assertEqual([status for status, _ in refused.heads], [417], refused)

    def test_103_comes_before_the_answer(self):
        for option in ('--http1.1', '--http2-prior-knowledge'):
            answer = self.curl('http://v1/early', option)
            self.assertEqual([status for status, _ in answer.heads], [103, 200], answer)
            self.assertIn('/style.css', answer.heads[0][1][0][1])

    def test_errors_of_the_application_are_the_applications(self):
        for status in (400, 404, 418, 500, 503, 599):
            answer = self.curl(f'http://v1/status/{status}')
            self.assertEqual((answer.status, answer.header('x-app'), answer.header('x-countersign-reason')), (status, 'one', None))

    def test_a_body_that_breaks_off_is_not_made_whole(self):
        for option in ('--http1.1', '--http2-prior-knowledge'):
            answer = self.curl('http://v1/cut', option)
            self.assertTrue(answer.code != 0 or answer.status == 503, answer)


class NginxTest(HttpMesh):
    def test_files_arrive_whole_over_both_versions_of_http(self):
        for service, spoken in (('files', 'HTTP/1.1'), ('files-h2', 'HTTP/2.0')):
            for option in ('--http1.1', '--http2-prior-knowledge'):
                self.assertEqual(self.curl(f'http://{service}/protocol', option).body.strip(), spoken)
                result = self.client.run(['sh', '-c', f'curl -sS {option} http://{service}/large | wc -c'])
                self.assertEqual(result.stdout.strip(), '5000000')

    def test_ranges_and_conditions(self):
        part = self.client.run(['curl', '-sS', '-r', '100-199', '-w', ' %{http_code}', '-o', '/dev/null', 'http://files/medium'])
        self.assertEqual(part.stdout.strip(), '206')
        tag = self.curl('http://files/small', '--head').header('etag')
        self.assertEqual(self.curl('http://files/small', '-H', f'If-None-Match: {tag}').status, 304)

    def test_a_browser_with_six_connections(self):
        self.assertEqual(self.script(self.client, http_callers, 'browser', 'files', 80, 100, '/small', '/medium', '/large', '/small'),
                         '600 right')


class WebSocketTest(HttpMesh):
    def test_messages_of_every_size_and_the_closing_handshake(self):
        for host, port in (('chat', 80), (self.files.ipv4, WEBSOCKET)):
            self.assertEqual(self.script(self.client, websocket, 'talk', host, port, 0, 1, 125, 126, 65535, 65536, 3_000_000), 'right')

    def test_an_application_that_does_not_upgrade_answers_as_it_likes(self):
        self.assertEqual(self.script(self.client, websocket, 'talk', 'v1', 80), 'no WebSocket: HTTP/1.1 200 OK')
        self.assertEqual(self.curl('http://chat/').status, 426)

    def test_a_quiet_websocket_lives(self):
        chat = self.client.run([
            '/usr/bin/python3', '-c',
            'import importlib.util, sys, time; s = importlib.util.spec_from_file_location("w", sys.argv[1]);'
            'w = importlib.util.module_from_spec(s); s.loader.exec_module(w); c = w.Client("chat", 80);'
            'print(c.call(1, b"a")); time.sleep(4); print(c.call(1, b"b"))', '/run/mesh/bin/websocket.py'])
        self.assertIn("(1, b'b')", chat.stdout, chat.stderr)


class TunnelEndsTest(HttpMesh):
    """Upgrade and CONNECT between two HTTP/1 programs: what one end does with its half, the other one sees."""

    PORT = 8091
    BYTES = 3_000_000 // 251 * 251

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.application = cls.mesh.pods['files'].spawn('tunnel-ends', [PYTHON, publish(tunnel_ends.__file__), 'serve', str(cls.PORT)])
        wait_for('the application listens', lambda: 'ready' in cls.application.output())

    def check(self, what, heard, printed=None, size=BYTES):
        for kind in ('upgrade', 'connect'):
            with self.subTest(kind):
                mark = len(self.application.output())
                self.assertEqual(self.script(self.client, tunnel_ends, 'call', self.files.ipv4, self.PORT, kind, what, size), heard)
                if printed:
                    wait_for(f'the application has seen it: {printed}', lambda: printed in self.application.output()[mark:], 5)

    def test_an_application_sees_its_callers_end_and_answers_after_it(self):
        self.check('count', tunnel_ends.report(bytes(range(251)) * (self.BYTES // 251)))

    def test_a_caller_sees_its_applications_end_and_goes_on(self):
        sent = tunnel_ends.report(bytes(range(251)) * (self.BYTES // 251))
        self.check('leave', f'bye {sent}', printed=f'after bye: {sent}')

    def test_an_applications_reset_is_a_reset_also_after_its_end(self):
        self.check('reset', 'ConnectionResetError')
        for kind in ('upgrade', 'connect'):
            with self.subTest(kind):
                self.assertIn(self.script(self.client, tunnel_ends, 'call', self.files.ipv4, self.PORT, kind, 'stay', 0),
                              ('ConnectionResetError', 'BrokenPipeError'))

    def test_a_callers_reset_is_a_reset_also_after_its_applications_end(self):
        self.check('listen', 'gone', printed='ended: reset', size=251)
        self.check('forget', 'gone', printed='ended: reset', size=251)


class GrpcTest(HttpMesh):
    def test_all_four_kinds_of_call_with_statuses_trailers_deadlines_and_large_messages(self):
        for address in (f'rpc:{GRPC}', f'rpc-undeclared:{GRPC}', f'{self.rpc1.ipv4}:{GRPC}'):
            result = self.grpc(address, 'all')
            self.assertEqual(result.returncode, 0, f'{address}:\n{result.stdout}{result.stderr}')

    def test_calls_of_one_connection_are_balanced(self):
        result = self.grpc(f'rpc:{GRPC}', 'spread', 200)
        counts = dict(pair.split('=') for pair in result.stdout.split())
        self.assertEqual(counts.get('failed'), '0', result.stdout)
        self.assertGreater(min(int(counts.get('rpc1', 0)), int(counts.get('rpc2', 0))), 40, result.stdout)

    def test_a_client_that_nobody_here_wrote(self):
        grpcurl = self.mesh.binaries.foreign('grpcurl')
        listed = self.client.run([grpcurl, '-plaintext', f'rpc:{GRPC}', 'list'])
        self.assertIn('countersign.test.v1.Echo', listed.stdout, listed.stderr)
        for method, data, wanted in (('Unary', '{"message": "hi"}', '"message": "hi"'),
                                     ('Expand', '{"message": "m", "count": 3}', '"messages": 3'),
                                     ('Collect', '{"message": "a"} {"message": "b"}', '"messages": 2'),
                                     ('Converse', '{"message": "a"} {"message": "b"}', '"messages": 2')):
            called = self.client.run([grpcurl, '-plaintext', '-d', data, f'rpc:{GRPC}', f'countersign.test.v1.Echo/{method}'])
            self.assertEqual(called.returncode, 0, called.stderr)
            self.assertIn(wanted, called.stdout)
        refused = self.client.run([grpcurl, '-plaintext', '-d', '{"status_code": 7, "status_message": "not you"}', f'rpc:{GRPC}',
                                   'countersign.test.v1.Echo/Unary'])
        self.assertRegex(refused.stderr, r'Code: PermissionDenied\s+Message: not you')

    def test_a_refusal_of_the_proxy_is_a_grpc_status_with_words(self):
        result = self.grpc('gone:80', 'call', 0, 0, 5000)
        self.assertRegex(result.stdout, r'^14 .*7999', 'UNAVAILABLE with a sentence')

    def test_a_deadline_that_all_notice_at_once_is_deadline_exceeded(self):
        message = b'\x00\x00\x00\x00\x03\x28\xb8\x17'  # EchoRequest{delay_ms: 3000}
        client = http2.Client(pod_socket.connect(self.client, self.mesh.services['rpc'].ipv4, GRPC))
        for timeout in ('1n', '2m', '20000u', '50m') * 4:
            stream = client.ask(http2.request('/countersign.test.v1.Echo/Unary', 'POST', 'rpc', content_type='application/grpc', te='trailers',
                                              grpc_timeout=timeout), end_stream=False)
            client.data(stream, message, end_stream=True)
            response = client.wait(stream)
            self.assertEqual({**response.headers, **response.trailers}.get('grpc-status'), '4', response.heads)
        client.close()

    def test_grpc_statuses_are_counted(self):
        def counted():
            return self.samples(self.client).sum('countersign_requests_total', destination_service='rpc', grpc_response_status='5')
        before = counted()
        self.grpc(f'rpc:{GRPC}', 'call', 5, 0, 5000)
        wait_for('the call is counted', lambda: counted() == before + 1, 5)

    def test_messages_of_all_four_kinds_of_call_are_counted_at_both_sides(self):
        def counted():
            return [sum(self.samples(pod).sum(f'countersign_{way}_messages_total', reporter=reporter, request_protocol='grpc')
                        for pod in pods)
                    for reporter, pods in (('source', [self.client]), ('destination', [self.rpc1, self.rpc2]))
                    for way in ('request', 'response')]
        # As many as echo_client.cc sends and gets.
        for kind, requests, responses in (('unary', 1, 1), ('collect', 100, 1), ('expand', 1, 100), ('converse', 100, 100)):
            wanted = [before + more for before, more in zip(counted(), 2 * (requests, responses))]
            result = self.grpc(f'rpc:{GRPC}', kind)
            self.assertEqual(result.returncode, 0, result.stdout)
            wait_for(f'the messages of {kind} are counted', lambda: counted() == wanted, 5)


class GiantTest(HttpMesh):
    """Bodies far larger than what a proxy may keep of them."""

    SLACK_KIB = 4096  # of both kinds: what malloc keeps, and pools that grew

    def watch(self, run):
        """Runs it, and returns what it returned and the growth of both sidecars' memory meanwhile, KiB."""
        before = self.rss_kib(self.client), self.rss_kib(self.one)
        highest = [0, 0]
        process = run()
        while process.poll() is None:
            for side, pod in enumerate((self.client, self.one)):
                highest[side] = max(highest[side], self.rss_kib(pod) - before[side])
            time.sleep(0.02)
        return process.communicate()[0].strip(), highest

    def check(self, *arguments):
        said, growth = self.watch(lambda: self.spawn_script(self.client, http_callers, *arguments))
        print(f'    {" ".join(map(str, arguments))}: sidecars grew by {growth} KiB', flush=True)
        self.assertEqual(said, 'right')
        self.assertLess(max(growth), 1024 + self.SLACK_KIB)

    def setUp(self):
        self.script(self.client, http_callers, 'download', 'v1', 80, '/big/20000000', 20000000)

    def test_a_gibibyte_down_with_bounded_memory(self):
        self.check('download', 'v1', 80, f'/big/{GIB}', GIB)

    def test_a_gibibyte_up_with_bounded_memory(self):
        self.check('upload', 'v1', 80, '/upload', GIB)

    def test_a_chunked_upload_with_bounded_memory(self):
        self.check('upload', 'v1', 80, '/upload', GIB // 4, 'chunked')

    def test_slow_readers_hold_at_most_a_mebibyte_each(self):
        count = 16
        before = self.rss_kib(self.client), self.rss_kib(self.one)
        process = self.spawn_script(self.client, http_callers, 'slow_readers', 'v1', 80, f'/big/{GIB}', count, 3)
        self.assertEqual(process.stdout.readline().strip(), 'asked')
        time.sleep(2)
        growth = [self.rss_kib(pod) - was for pod, was in zip((self.client, self.one), before)]
        answer = self.curl('http://v1/')
        self.assertEqual(process.communicate()[0].strip(), f'{count} answers had begun')
        print(f'    {count} slow readers: sidecars grew by {growth} KiB', flush=True)
        self.assertLess(max(growth), count * 1024 + self.SLACK_KIB)
        self.assertEqual(answer.status, 200, 'another request was not served meanwhile')

    def test_slow_applications_hold_at_most_a_mebibyte_each(self):
        count = 16
        before = self.rss_kib(self.client), self.rss_kib(self.one)
        process = self.spawn_script(self.client, http_callers, 'slow_writers', 'v1', 80, '/hang', count, GIB, 2)
        self.assertEqual(process.stdout.readline().strip(), 'sent')
        growth = [self.rss_kib(pod) - was for pod, was in zip((self.client, self.one), before)]
        answer = self.curl('http://v1/')
        process.communicate()
        print(f'    {count} uploads that nobody reads: sidecars grew by {growth} KiB', flush=True)
        self.assertLess(max(growth), count * 1024 + self.SLACK_KIB)
        self.assertEqual(answer.status, 200, 'another request was not served meanwhile')


class DetectionTest(HttpMesh):
    def test_a_server_that_speaks_first_is_heard_at_once_on_an_undeclared_port(self):
        started = time.monotonic()
        result = self.client.run(['/usr/bin/python3', '-c',
                                  'import socket; s = socket.create_connection(("greeter", 80)); f = s.makefile("rw");'
                                  'print(f.readline().strip()); f.write("quit\\n"); f.flush(); print(f.readline().strip())'])
        self.assertEqual(result.stdout.split('\n')[:2], ['220 speak', 'quit'], result.stderr)
        self.assertLess(time.monotonic() - started, 2)

    def test_a_caller_that_thinks_for_a_while_may_still_speak_http(self):
        result = self.client.run(['/usr/bin/python3', '-c',
                                  'import socket, time; s = socket.create_connection(("undeclared", 80)); time.sleep(1.5);'
                                  's.sendall(b"GET /status/200 HTTP/1.1\\r\\nHost: undeclared\\r\\nConnection: close\\r\\n\\r\\n");'
                                  'print(s.makefile().readline().strip())'])
        self.assertTrue(result.stdout.startswith('HTTP/1.1 200'), result.stdout + result.stderr)

    def test_http_in_pieces_is_still_http(self):
        before = self.samples(self.client).sum('countersign_requests_total')
        result = self.client.run(['/usr/bin/python3', '-c',
                                  'import socket, time; s = socket.create_connection(("undeclared", 80));\n'
                                  'for c in b"GET /status/200 HTTP/1.1\\r\\nHost: undeclared\\r\\nConnection: close\\r\\n\\r\\n":\n'
                                  '  s.sendall(bytes([c])); time.sleep(0.002)\n'
                                  'print(s.makefile().readline().strip())'])
        self.assertTrue(result.stdout.startswith('HTTP/1.1 200'), result.stdout + result.stderr)
        wait_for('it is counted as a request', lambda: self.samples(self.client).sum('countersign_requests_total') > before, 3)

    def test_anything_else_is_carried_as_bytes(self):
        result = self.client.run(['/usr/bin/python3', '-c',
                                  f'import socket; s = socket.create_connection(("{self.one.ipv4}", 7003)); s.sendall(b"\\x00\\x01GETaway");'
                                  'print(s.recv(100))'])
        self.assertEqual(result.stdout.strip(), repr(b'\x00\x01GETaway'), result.stderr)


class IdentityTest(HttpMesh):
    FORGED = 'By=spiffe://demo.example/ns/demo/sa/one;Hash=00;URI=spiffe://demo.example/ns/demo/sa/admin'

    def test_the_application_is_told_who_calls_and_forgeries_are_removed(self):
        for more in ([], ['-H', f'X-Forwarded-Client-Cert: {self.FORGED}'],
                     ['-H', f'X-Forwarded-Client-Cert: {self.FORGED}', '-H', 'Connection: x-forwarded-client-cert']):
            for option in ('--http1.1', '--http2-prior-knowledge'):
                answer = self.curl('http://v1/echo', option, *more)
                told = answer.seen('x-forwarded-client-cert')
                self.assertEqual(len(told), 1, answer)
                self.assertRegex(told[0], rf'^By={self.one.spiffe_id};Hash=[0-9a-f]{{64}};(Subject="";)?URI={self.client.spiffe_id}$')

    def test_a_plaintext_caller_can_claim_nothing(self):
        answer = self.curl(f'http://one-pod:{APP}/echo', '-H', f'X-Forwarded-Client-Cert: {self.FORGED}', pod=self.legacy)
        self.assertEqual(answer.status, 200, answer)
        self.assertFalse([value for value in answer.seen('x-forwarded-client-cert') if 'admin' in value])

    def test_a_request_id_is_made_or_kept(self):
        made = self.curl('http://v1/echo').seen('x-request-id')
        self.assertRegex(made[0], r'^[0-9a-f]{8}-[0-9a-f]{4}-')
        self.assertEqual(self.curl('http://v1/echo', '-H', 'X-Request-Id: mine-1').seen('x-request-id'), ['mine-1'])

    def test_trace_context_is_carried_on(self):
        parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
        seen = self.curl('http://v1/echo', '-H', f'traceparent: {parent}', '-H', 'tracestate: a=b').seen('traceparent')
        self.assertTrue(seen and seen[0].startswith('00-0af7651916cd43dd8448eb211c80319c-'), seen)


class ObservationTest(HttpMesh):
    def test_both_sides_count_a_request_with_the_same_identities(self):
        def counted(pod, reporter):
            return self.samples(pod).sum('countersign_requests_total', reporter=reporter, response_code='418',
                                         source_principal=self.client.spiffe_id, destination_principal=self.one.spiffe_id,
                                         connection_security_policy='mutual_tls')
        before = counted(self.client, 'source'), counted(self.one, 'destination')
        self.curl('http://v1/status/418')
        wait_for('both have counted it', lambda: (counted(self.client, 'source'), counted(self.one, 'destination')) ==
                 (before[0] + 1, before[1] + 1), 5)

    def test_durations_and_sizes_are_histograms(self):
        self.curl('http://v1/big/5000')
        for family in ('countersign_request_duration_milliseconds', 'countersign_request_bytes', 'countersign_response_bytes'):
            for pod in (self.client, self.one):
                self.assertGreater(self.samples(pod).sum(family + '_count'), 0, f'{pod.name}: {family}')

    def test_a_request_leaves_a_line_in_the_access_log_of_both_sides(self):
        marks = len(self.client.sidecar.output()), len(self.one.sidecar.output())
        self.curl('http://v1/status/418?logged')
        for pod, mark in zip((self.client, self.one), marks):
            line = wait_for('the line', lambda: next((l for l in pod.sidecar.output()[mark:].splitlines() if '/status/418' in l), None), 5)
            record = json.loads(line)
            self.assertIn(418, record.values())
            self.assertIn('GET', record.values())

    def test_hosts_that_callers_make_up_do_not_grow_the_metrics(self):
        before = len(self.samples(self.client).samples)
        script = 'for i in $(seq 200); do curl -sS -o /dev/null -H "Host: made-up-$i.example" http://v1/; done'
        self.client.run(['sh', '-c', script], timeout=60)
        self.assertLess(len(self.samples(self.client).samples) - before, 100)


class LocalAnswerTest(HttpMesh):
    """What the proxy itself answers says so, in a header for programs and a sentence for people."""

    def check(self, answer, status, flags, words):
        self.assertEqual(answer.status, status, answer)
        self.assertTrue(answer.header('x-countersign-reason'), answer)
        self.assertIn(flags, (answer.header('x-countersign-flags') or '').split(','), answer)
        self.assertRegex(answer.body, words)

    def test_an_application_that_does_not_listen_is_503_uf(self):
        for option in ('--http1.1', '--http2-prior-knowledge'):
            self.check(self.curl('http://gone/', option), 503, 'UF', r'7999|gone')

    def test_a_service_without_endpoints_is_503_uh(self):
        self.check(self.curl('http://empty/'), 503, 'UH', 'empty')

    def test_an_application_that_hangs_up_is_503_uc(self):
        for path in ('/close', '/reset', '/garbage'):
            answer = self.curl(f'http://v1{path}', '-X', 'POST', '-d', 'x')
            self.assertIn(answer.status, (502, 503), answer)
            self.assertTrue(answer.header('x-countersign-reason'), answer)

    def test_a_sidecar_that_is_gone_is_503_and_the_next_one_is_found(self):
        self.two.sidecar.kill()
        try:
            answer = self.curl('http://v2/')
            self.check(answer, 503, 'UF', 'v2|two')
        finally:
            self.two.start_sidecar('--access-log=-')
            self.two.wait_ready()
        wait_for('callers find it again', lambda: self.curl('http://v2/').status == 200, 10, 0.3)

    def test_flags_and_codes_are_in_the_metrics(self):
        self.curl('http://gone/')
        # The sidecar that gave the answer flags it; the caller's counts a 503.
        wait_for('the refusal is counted', lambda: any(
            'UF' in labels['response_flags'] for labels, _ in self.samples(self.one).all('countersign_requests_total', response_code='503')), 5)
        wait_for('and at its source', lambda: self.samples(self.client).sum(
            'countersign_requests_total', response_code='503', destination_service='gone') > 0, 5)


if __name__ == '__main__':
    netns_test.main()
