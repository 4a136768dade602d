"""The scenes about HTTP: each request is seen, balanced, routed and answered for, and none is lost when a service is
replaced under load."""

import json
import re
import time

from tests.support import http_app, http_callers
from tests.support.mesh import publish, wait_for
from tests.support.prometheus_text import Samples
import programs
import table

PYTHON = '/usr/bin/python3'
PORT = 8080
GRPC = 50051
ROLLS = 5
ROUTE = 'shop.route.yaml'

_CANARY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: shop
  namespace: {namespace}
spec:
  parentRefs:
    - {{group: "", kind: Service, name: shop}}
  rules:
    - backendRefs:
        - {{name: shop-v1, port: 80, weight: 90}}
        - {{name: shop-v2, port: 80, weight: 10}}
"""


class Instance:
    """One pod of the service `shop` with its application and sidecar."""

    def __init__(self, mesh, version, number):
        self.name = f'shop-{version}-{number}'
        self.mesh = mesh
        # Not among the endpoints yet: the labels that the Service selects come when it is ready, as in Kubernetes.
        self.pod = mesh.add_pod(self.name, ports={'http': PORT}, service_account='shop', labels={'app': 'starting'})
        self._version = version

    def start(self):
        self.app = self.pod.spawn('app', [PYTHON, publish(http_app.__file__), str(PORT), self.name])
        self.pod.start_sidecar()

    def join(self):
        wait_for(f'{self.name} is ready', lambda: 'ready' in self.app.output())
        self.pod.wait_ready()
        self._label({'app': 'shop', 'version': self._version})

    def leave(self):
        """The endpoint goes, the sidecar drains, and then the application ends. Returns how long the drain took, s."""
        started = time.monotonic()
        self._label({'app': 'leaving'})
        self.pod.sidecar.stop(timeout=15)
        drained = time.monotonic() - started
        self.app.stop(timeout=10)
        self.mesh.remove_config(f'{self.name}.workload.yaml')
        del self.mesh.pods[self.name]
        return drained

    def _label(self, labels):
        self.pod.labels = labels
        self.mesh.write_config(f'{self.name}.workload.yaml', self.pod.workload_yaml())


class Load:
    """Requests at a steady rate on four kept-alive connections, from construction to finish()."""

    def __init__(self, pod, host, path, rate):
        publish(http_app.__file__)
        number = len(pod.mesh.processes)
        self._stop = f'{pod.folder}/stop-steady-{number}'
        self._process = pod.spawn(f'steady-{number}', [PYTHON, publish(http_callers.__file__), 'steady', host, '80', path, str(rate),
                                                      self._stop])

    def finish(self):
        with open(self._stop, 'w'):
            pass
        self._process.popen.wait(30)
        return json.loads(self._process.output())


class HttpScenes:
    def __init__(self, mesh, claims):
        self.mesh = mesh
        self.claims = claims
        self.web = mesh.pods['web']
        self._number = 0
        self.instances = {}

    @staticmethod
    def add_services(mesh):
        mesh.add_service('shop', 80, PORT, {'app': 'shop'}, 'http')
        mesh.add_service('shop-v1', 80, PORT, {'app': 'shop', 'version': 'v1'}, 'http')
        mesh.add_service('shop-v2', 80, PORT, {'app': 'shop', 'version': 'v2'}, 'http')
        mesh.add_service('rpc', GRPC, GRPC, {'app': 'rpc'}, 'grpc')
        mesh.add_service('closed', 80, 7999, {'app': 'api'}, 'http')

    def _start(self, *versions):
        """Instances of these versions, ready and among the endpoints."""
        fresh = []
        for version in versions:
            self._number += 1
            fresh.append(Instance(self.mesh, version, self._number))
        for instance in fresh:
            instance.start()
        for instance in fresh:
            instance.join()
        return fresh

    def _answers(self, requests=400, rate=400, all_of_them=True):
        """{instance: answers} of so many requests to shop."""
        load = Load(self.web, 'shop', '/work', rate)
        time.sleep(requests / rate)
        result = load.finish()
        self.claims.demand(not (all_of_them and result['failed']), f'{result["failed"][:3]}')
        return result['answers']

    # Scene: a service is replaced, instance by instance, while it is used.

    def rolling_restart(self):
        claims = self.claims
        claims.step(f'shop is replaced under load: {ROLLS} times a new instance comes, an old one drains (SIGTERM) and ends, its sidecar too')
        self.instances = {'v1': self._start('v1', 'v1'), 'v2': []}
        wait_for('web reaches both', lambda: len(self._answers(40, 200, all_of_them=False)) == 2, 10)
        with claims.claim('a rolling restart under load loses not one request'):
            loads = [Load(self.web, 'shop', '/work', 150), Load(self.web, 'shop', '/delay/250', 12)]
            time.sleep(0.5)
            drains = []
            for _ in range(ROLLS):
                self.instances['v1'] += self._start('v1')
                time.sleep(0.3)
                drains.append(self.instances['v1'].pop(0).leave())
            time.sleep(0.5)
            results = [load.finish() for load in loads]
            sent = sum(result['sent'] for result in results)
            failed = [failure for result in results for failure in result['failed']]
            claims.saw(f'{sent} requests, {len(failed)} failed; {len(results[0]["answers"])} instances answered: ' +
                       ', '.join(f'{name} {count}' for name, count in sorted(results[0]['answers'].items())))
            claims.saw('drained in ' + ', '.join(f'{seconds:.1f} s' for seconds in drains))
            claims.demand(not failed, f'{len(failed)} of {sent} failed, for example {failed[:4]}')
            claims.demand(len(results[0]['answers']) == ROLLS + 2, 'not every instance has answered, so it proves nothing')

    # Scene: a canary, by one line of YAML.

    def canary(self):
        claims = self.claims
        claims.step('A second version of shop comes, and one line of YAML shifts traffic to it')
        self.instances['v2'] = self._start('v2')
        self.mesh.write_config(ROUTE, _CANARY.format(namespace=self.mesh.namespace))

        def share():
            answers = self._answers()
            return 100 * sum(count for name, count in answers.items() if '-v2-' in name) / sum(answers.values())
        with claims.claim('a canary gets the share of requests that the route says, and more when the line changes'):
            wait_for('the route is in force', lambda: 0 < self._share_of(self._answers(100)) < 25, 10)
            first = share()
            claims.saw(f'weights 90 and 10: v2 answered {first:.1f} % of 400 requests')
            claims.demand(4 <= first <= 17, 'that is not about 10 %')
            self._shift('weight: 90', 'weight: 50', 'weight: 10', 'weight: 50')
            changed = time.monotonic()
            wait_for('the new weights are in force', lambda: self._share_of(self._answers(100)) > 30, 10)
            claims.saw(f'in force at most {time.monotonic() - changed:.1f} s after the file was written')
            second = share()
            claims.saw(f'weights 50 and 50: v2 answered {second:.1f} % of 400 requests')
            claims.demand(40 <= second <= 60, 'that is not about half')

    @staticmethod
    def _share_of(answers):
        return 100 * sum(count for name, count in answers.items() if '-v2-' in name) / max(1, sum(answers.values()))

    def _shift(self, *changes):
        with open(f'{self.mesh.config}/{ROUTE}') as file:
            text = file.read()
        for old, new in zip(changes[::2], changes[1::2]):
            text = text.replace(old, new)
            print(f'    - {old}\n    + {new}', flush=True)
        self.mesh.write_config(ROUTE, text)

    # Scene: gRPC.

    def grpc(self):
        claims = self.claims
        claims.step('gRPC: all four kinds of call, and one connection whose calls are balanced')
        for name in ('rpc1', 'rpc2'):
            pod = self.mesh.add_pod(name, ports={'grpc': GRPC}, service_account='rpc', labels={'app': 'rpc'})
            server = pod.spawn('grpc', [self.mesh.binaries.grpc_server, str(GRPC), name])
            pod.start_sidecar()
            wait_for(f'{name} serves', lambda: 'ready' in server.output())
        for name in ('rpc1', 'rpc2'):
            self.mesh.pods[name].wait_ready()
        client = [self.mesh.binaries.grpc_client, f'{self.mesh.services["rpc"].ipv4}:{GRPC}']
        with claims.claim('gRPC works: unary, both streams and both at once, with deadlines, statuses, trailers and large messages'):
            result = self.web.run([*client, 'all'], timeout=60)
            claims.saw(', '.join(result.stdout.split('\n')[:-1]))
            claims.demand(result.returncode == 0, f'{result.stdout}{result.stderr}')
        with claims.claim('calls of one gRPC connection go to both servers'):
            spread = self.web.run([*client, 'spread', '200'], timeout=60).stdout.strip()
            claims.saw(spread)
            counts = dict(pair.split('=') for pair in spread.split()[:3])
            claims.demand(counts.get('failed') == '0' and int(counts.get('rpc1', 0)) > 40 and int(counts.get('rpc2', 0)) > 40, spread)

    # Scene: a refusal explains itself.

    def refusal(self):
        claims = self.claims
        claims.step('web calls a service whose application does not listen')
        with claims.claim('an answer of the proxy itself says so: a reason for programs, Envoy\'s flags, a sentence for people'):
            answer = programs.get(self.web, 'http://closed/', '-i')
            for line in answer.stdout.strip().splitlines():
                print(f'      {line}', flush=True)
            claims.demand(answer.stdout.startswith('HTTP/1.1 503'), answer.stdout + answer.stderr)
            reason = re.search(r'(?mi)^x-countersign-reason: (\S+)', answer.stdout)
            flags = re.search(r'(?mi)^x-countersign-flags: (\S+)', answer.stdout)
            claims.demand(reason and flags, 'the headers are missing')
            body = answer.stdout.replace('\r\n', '\n').partition('\n\n')[2]
            claims.demand(len(body.split()) > 5, 'there is no sentence')
            claims.saw(f'{reason.group(1)}, {flags.group(1)}')

    # Scene: every request is counted.

    def requests_counted(self):
        claims = self.claims
        claims.step('Who asked whom for what, and what came back, as the sidecars counted it')
        members = [pod for pod in self.mesh.pods.values() if pod.sidecar is not None and pod.sidecar.running]
        rows, total = {}, 0
        for pod in members:
            for labels, value in Samples(pod.admin('/metrics')).all('countersign_requests_total'):
                key = (labels.get('reporter', ''), table.short(labels.get('source_principal', ''), self.mesh.trust_domain),
                       labels.get('destination_service', ''),
                       labels.get('response_code', ''), labels.get('response_flags', ''), labels.get('grpc_response_status', ''),
                       labels.get('connection_security_policy', ''))
                rows[key] = rows.get(key, 0) + int(value)
        print(table.render(['REPORTER', 'CALLER', 'SERVICE', 'CODE', 'FLAGS', 'GRPC', 'ON THE WIRE', 'REQUESTS'],
                           [(*key, count) for key, count in sorted(rows.items())]), flush=True)
        with claims.claim('every request is counted at its source, with service, code, flags and what protected it'):
            total = sum(count for key, count in rows.items() if key[0] == 'source')
            claims.saw(f'{total} requests in {len(rows)} series')
            claims.demand(any(key[3] == '503' and 'UF' in key[4] for key in rows), 'the refusal is not there')
            claims.demand(any(key[5] not in ('', '-') for key in rows), 'no gRPC status is there')
            claims.demand(total > 1000, 'too few')
