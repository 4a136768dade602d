"""What people write about HTTP, and what real callers then meet: routes, time-outs, retries, faults, limits, ejection."""

import json
import re
import time

from tests.support import http_callers, netns_test
from tests.support.http_mesh import APP, HttpMesh
from tests.support.mesh import wait_for


def route(name, parent, rules, **spec):
    return f"""\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {name}
  namespace: demo
spec:
  parentRefs:
    - {{group: "", kind: Service, name: {parent}}}
  rules:
{rules}"""


class PolicyMesh(HttpMesh):
    pods = ('two',)

    def body(self, path='/', *options, host='web'):
        return self.curl(f'http://{host}{path}', *options).body.split(' ')[0].strip()

    def counts(self, path, requests, host='web'):
        """{first word of the body, or the status if it is no 200: how many}"""
        result = self.client.run(['sh', '-c', f'for i in $(seq {requests}); do curl -sS -w "|%{{http_code}}|\\n" http://{host}{path}; done'],
                                 timeout=60)
        found = {}
        for body, status in re.findall(r'([^|]*)\|(\d{3})\|', result.stdout):
            key = body.split()[0] if status == '200' else int(status)
            found[key] = found.get(key, 0) + 1
        return found

    def flagged(self, flag, pod=None):
        return sum(value for labels, value in self.samples(pod or self.client).all('countersign_requests_total')
                   if flag in labels.get('response_flags', '').split(','))

    def app(self, pod, path):
        """Asks the application itself, from inside its pod."""
        return self.curl(f'http://127.0.0.1:{APP}{path}', pod=pod)


class RouteTest(PolicyMesh):
    def use(self, rules, visible, parent='web'):
        self.configure_while_running('route.yaml', route('route', parent, rules), visible)

    def test_weights_are_shares(self):
        self.use("""\
    - backendRefs:
        - {name: v1, port: 80, weight: 90}
        - {name: v2, port: 80, weight: 10}
""", lambda: self.counts('/work', 20).get('one', 0) >= 14)
        answers = json.loads(self.steady('web', '/work', 400, 2.5))['answers']
        total = sum(answers.values())
        self.assertGreater(total, 500)
        self.assertAlmostEqual(answers.get('two', 0) / total, 0.10, delta=0.05)

    def steady(self, host, path, rate, seconds):
        stop = f'{self.client.folder}/stop-{time.monotonic()}'
        process = self.spawn_script(self.client, http_callers, 'steady', host, 80, path, rate, stop)
        time.sleep(seconds)
        with open(stop, 'w'):
            pass
        return process.communicate(timeout=20)[0]

    def test_paths_headers_queries_and_methods_choose(self):
        self.use("""\
    - matches: [{path: {type: Exact, value: /exact}}]
      backendRefs: [{name: v2, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /second}}]
      backendRefs: [{name: v2, port: 80}]
    - matches: [{path: {type: RegularExpression, value: "/re[0-9]+"}}]
      backendRefs: [{name: v2, port: 80}]
    - matches: [{headers: [{name: x-version, value: v2}]}]
      backendRefs: [{name: v2, port: 80}]
    - matches: [{queryParams: [{name: version, value: v2}]}]
      backendRefs: [{name: v2, port: 80}]
    - matches: [{method: DELETE}]
      backendRefs: [{name: v2, port: 80}]
    - backendRefs: [{name: v1, port: 80}]
""", lambda: all(self.body('/exact') == 'two' for _ in range(3)) and all(self.body('/') == 'one' for _ in range(3)))
        for path in ('/exact', '/second', '/second/deep', '/re42', '/?version=v2', '/?a=b&version=v2'):
            self.assertEqual(self.body(path), 'two', path)
        for path in ('/exactly', '/exact/', '/secondary', '/re', '/re4x', '/?version=v22', '/'):
            self.assertEqual(self.body(path), 'one', path)
        self.assertEqual(self.body('/', '-H', 'X-Version: v2'), 'two')
        self.assertEqual(self.body('/', '-H', 'X-Version: v1'), 'one')
        self.assertEqual(self.body('/', '-X', 'DELETE'), 'two')

    def test_a_path_that_is_normalised_cannot_slip_past_a_route(self):
        self.use("""\
    - matches: [{path: {type: PathPrefix, value: /private}}]
      backendRefs: [{name: v2, port: 80}]
    - backendRefs: [{name: v1, port: 80}]
""", lambda: self.body('/private') == 'two' and self.body('/') == 'one')
        for path in ('/public/../private', '//private', '/./private', '/%70rivate', '/public/%2e%2e/private'):
            answer = self.curl(f'http://web{path}', '--path-as-is')
            self.assertTrue(answer.status == 400 or answer.body.startswith('two'), f'{path}: {answer}')

    def test_redirects_rewrites_and_header_changes(self):
        self.use("""\
    - matches: [{path: {type: PathPrefix, value: /old}}]
      filters:
        - type: RequestRedirect
          requestRedirect: {hostname: new.example, scheme: https, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}
    - matches: [{path: {type: PathPrefix, value: /api/v1}}]
      filters:
        - type: URLRewrite
          urlRewrite: {hostname: inner.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /echo}}
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-set, value: "1"}], add: [{name: x-add, value: "2"}], remove: [x-remove]}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {set: [{name: x-out, value: "3"}], remove: [x-app]}
      backendRefs: [{name: v1, port: 80}]
""", lambda: self.curl('http://web/old/page').status == 301)
        moved = self.curl('http://web/old/page?q=1')
        self.assertEqual(moved.header('location'), 'https://new.example/new/page?q=1')
        answer = self.curl('http://web/api/v1/thing?q=1', '-H', 'X-Remove: me', '-H', 'X-Set: theirs', '-H', 'X-Add: theirs')
        self.assertEqual(json.loads(answer.body)['target'], '/echo/thing?q=1')
        self.assertEqual(answer.seen('host'), ['inner.example'])
        self.assertEqual(answer.seen('x-set'), ['1'])
        self.assertIn(answer.seen('x-add'), (['theirs', '2'], ['theirs,2'], ['theirs, 2']))
        self.assertEqual(answer.seen('x-remove'), [])
        self.assertEqual((answer.header('x-out'), answer.header('x-app')), ('3', None))

    def test_what_no_rule_takes_is_404_nr(self):
        self.use("""\
    - matches: [{path: {type: PathPrefix, value: /only}}]
      backendRefs: [{name: v1, port: 80}]
""", lambda: self.curl('http://web/other').status == 404)
        answer = self.curl('http://web/other')
        self.assertEqual(answer.header('x-countersign-flags'), 'NR')
        self.assertTrue(answer.header('x-countersign-reason'))
        self.assertRegex(answer.body, 'route')
        self.assertEqual(self.curl('http://web/only').status, 200)

    def test_a_mirror_gets_a_copy_and_its_answer_is_nobodys(self):
        self.use("""\
    - filters:
        - type: RequestMirror
          requestMirror: {backendRef: {name: v2, port: 80}}
      backendRefs: [{name: v1, port: 80}]
""", lambda: all(self.body('/') == 'one' for _ in range(5)))
        worked = json.loads(self.app(self.two, '/counts').body)['work']
        for _ in range(10):
            self.assertEqual(self.body('/work'), 'one')
        self.assertEqual(self.curl('http://web/work', '-d', 'a body').body.strip(), 'one')
        wait_for('the copies have come', lambda: json.loads(self.app(self.two, '/counts').body)['work'] >= worked + 11, 5)

    def test_a_time_out_is_504_ut_and_the_late_answer_is_dropped(self):
        self.use("""\
    - timeouts: {request: 300ms}
      backendRefs: [{name: v1, port: 80}]
""", lambda: self.curl('http://web/delay/1000').status == 504)
        started = time.monotonic()
        answer = self.curl('http://web/delay/3000')
        self.assertLess(time.monotonic() - started, 1.5)
        self.assertEqual((answer.status, answer.header('x-countersign-flags')), (504, 'UT'), answer)
        self.assertRegex(answer.body, '300 ?ms|0.3 ?s')
        self.assertEqual(self.curl('http://web/delay/10').status, 200)

    def test_a_route_is_changed_under_load_without_a_lost_request(self):
        self.use("""\
    - backendRefs: [{name: v1, port: 80}]
""", lambda: self.counts('/work', 10) == {'one': 10})
        stop = f'{self.client.folder}/stop-change'
        process = self.spawn_script(self.client, http_callers, 'steady', 'web', 80, '/work', 200, stop)
        for version in ('v2', 'v1', 'v2', 'v1'):
            time.sleep(0.7)
            self.mesh.write_config('route.yaml', route('route', 'web', f'    - backendRefs: [{{name: {version}, port: 80}}]\n'))
        time.sleep(0.7)
        with open(stop, 'w'):
            pass
        result = json.loads(process.communicate(timeout=20)[0])
        self.assertEqual(result['failed'], [])
        self.assertEqual(set(result['answers']), {'one', 'two'})


class TrafficPolicyTest(PolicyMesh):
    def use(self, text, visible, target='v1'):
        self.configure_while_running('policy.yaml', f"""\
apiVersion: countersign.dev/v1alpha1
kind: TrafficPolicy
metadata:
  name: policy
  namespace: demo
spec:
  targetRef: {{kind: Service, name: {target}}}
{text}""", visible)

    def set_app(self, pod, words=''):
        self.assertEqual(self.app(pod, f'/set?{words}').status, 200)
        if words:
            self.addCleanup(self.app, pod, '/set')

    def test_a_time_out_of_the_policy(self):
        self.use('  timeout: 300ms\n', lambda: self.curl('http://v1/delay/1000').status == 504)
        self.assertEqual(self.curl('http://v1/delay/2000').header('x-countersign-flags'), 'UT')

    def test_a_policy_of_a_headless_service_holds_for_its_pods_own_addresses(self):
        slow = f'http://one-pod:{APP}/delay/1000'
        self.assertEqual(self.curl(slow).status, 200)
        self.configure_while_running('pods.service.yaml', f"""\
apiVersion: v1
kind: Service
metadata: {{name: pods, namespace: demo}}
spec:
  clusterIP: None
  selector: {{version: v1}}
  ports: [{{name: http, port: {APP}}}]
""", lambda: True)
        self.use('  timeout: 300ms\n', lambda: self.curl(slow).status == 504, 'pods')
        self.assertEqual(self.curl(slow).header('x-countersign-flags'), 'UT')
        # Other Services have the same pod behind them, and no policy.
        self.assertEqual(self.curl('http://v1/delay/1000').status, 200)

    def test_faults_delay_and_abort(self):
        self.use('  fault: {abort: {percentage: {value: 100}, httpStatus: 418}}\n', lambda: self.curl('http://v1/work').status == 418)
        answer = self.curl('http://v1/work')
        self.assertEqual(answer.header('x-countersign-flags'), 'FI', answer)
        self.mesh.write_config('policy.yaml', open(f'{self.mesh.config}/policy.yaml').read().replace(
            'abort: {percentage: {value: 100}, httpStatus: 418}', 'delay: {percentage: {value: 100}, fixedDelay: 500ms}'))
        wait_for('the delay is in force', lambda: self.curl('http://v1/work').status == 200, 10)
        started = time.monotonic()
        self.assertEqual(self.curl('http://v1/work').status, 200)
        self.assertGreater(time.monotonic() - started, 0.45)

    def test_half_of_the_requests_fail_where_the_policy_says_half(self):
        self.use('  fault: {abort: {percentage: {value: 50}, httpStatus: 503}}\n', lambda: 503 in self.counts('/work', 20, 'v1'))
        counts = self.counts('/work', 200, 'v1')
        self.assertGreater(counts.get(503, 0), 60)
        self.assertGreater(counts.get('one', 0), 60)

    def test_retries_hide_failures_where_the_policy_asks_for_them(self):
        self.set_app(self.two, 'status=503')
        self.assertIn(503, self.counts('/work', 20))
        self.use('  retries: {attempts: 3, retryOn: "5xx"}\n', lambda: self.counts('/work', 20) == {'one': 20}, 'web')
        self.assertEqual(self.counts('/work', 50), {'one': 50})

    def test_a_connect_failure_is_retried_elsewhere_by_itself(self):
        # The application of `two` ends; its sidecar and the endpoint stay.
        victim = next(p for p in self.mesh.processes if p.name == 'two-app')
        victim.stop()
        try:
            counts = self.counts('/work', 40)
            self.assertEqual(counts, {'one': 40})
        finally:
            fresh = self.two.spawn('app', victim.popen.args[victim.popen.args.index('/usr/bin/python3'):])
            wait_for('it is back', lambda: fresh.output().count('ready') == 2)
        wait_for('it is used again', lambda: 'two' in self.counts('/work', 20), 15)

    def test_a_host_that_answers_5xx_is_ejected_and_comes_back(self):
        self.use("""\
  outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 3s, maxEjectionPercent: 50, successRate: false}
""", lambda: len(self.counts('/work', 20)) == 2, 'web')
        time.sleep(1)
        self.set_app(self.two, 'status=500')
        self.counts('/work', 30)
        self.assertEqual(self.counts('/work', 30), {'one': 30}, 'it still gets requests')
        self.set_app(self.two)
        wait_for('it is used again', lambda: 'two' in self.counts('/work', 20), 20, 0.5)

    def test_a_circuit_breaker_answers_503_uo_at_once(self):
        self.use('  connectionPool: {http: {http2MaxRequests: 2}}\n', lambda: 503 in self.together(8))
        started = time.monotonic()
        statuses = self.together(8)
        self.assertLess(time.monotonic() - started, 4)
        self.assertLessEqual(statuses.count(200), 4)
        self.assertGreaterEqual(statuses.count(503), 4)
        wait_for('the overflow is counted', lambda: self.flagged('UO') >= 4, 3)
        self.assertEqual(self.curl('http://v1/').status, 200)

    def together(self, number):
        """Statuses of so many requests at once, each of which takes half a second."""
        script = f'for i in $(seq {number}); do curl -sS -o /dev/null -w "%{{http_code}}\n" http://v1/delay/500 & done; wait'
        return [int(line) for line in self.client.run(['sh', '-c', script], timeout=30).stdout.split()]

    def test_limits_of_a_connection_hold_for_those_that_are_open(self):
        def opened():
            return sum(value for labels, value in self.samples(self.client).all('countersign_cluster_http_connections_opened_total')
                       if '/v1:' in labels['cluster'])
        self.curl('http://v1/')
        self.use('  connectionPool: {http: {maxRequestsPerConnection: 2}}\n',
                 lambda: '"max_requests_per_connection": 2' in self.client.admin('/config_dump'))
        before = opened()
        self.assertEqual(self.counts('/work', 20, 'v1'), {'one': 20})
        self.assertGreaterEqual(opened() - before, 9)

    def test_requests_with_the_same_key_go_to_the_same_host(self):
        self.use('  loadBalancer: {consistentHash: {httpHeaderName: x-user}}\n', lambda: len(self.users(1, 8)) == 1, 'web')
        answers = {user: self.users(user, 5) for user in range(12)}
        self.assertTrue(all(len(hosts) == 1 for hosts in answers.values()), answers)
        self.assertEqual(set.union(*answers.values()), {'one', 'two'})

    def users(self, user, requests):
        return {self.body('/work', '-H', f'X-User: {user}') for _ in range(requests)}

    def test_health_checks_take_a_host_out_before_a_request_fails(self):
        self.use("""\
  healthChecks: [{interval: 1s, timeout: 500ms, unhealthyThreshold: 1, healthyThreshold: 1, http: {path: /work}}]
""", lambda: len(self.counts('/work', 20)) == 2, 'web')
        self.set_app(self.two, 'status=503')
        wait_for('it gets no requests', lambda: self.counts('/work', 20) == {'one': 20}, 15, 0.5)
        self.set_app(self.two)
        wait_for('it is used again', lambda: 'two' in self.counts('/work', 20), 15, 0.5)

    def test_a_policy_that_is_wrong_changes_nothing_and_says_why(self):
        self.addCleanup(self.mesh.remove_config, 'wrong.yaml')
        before = len(self.mesh.control.output())
        self.mesh.write_config('wrong.yaml', """\
apiVersion: countersign.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: wrong, namespace: demo}
spec:
  targetRef: {kind: Service, name: v1}
  timeot: 1s
""")
        wait_for('the control plane says so', lambda: 'timeot' in self.mesh.control.output()[before:], 10)
        self.assertEqual(self.curl('http://v1/').status, 200)


if __name__ == '__main__':
    netns_test.main()
