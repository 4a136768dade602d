"""The scenes of the demo, in order. Each looks at what happened and claims only what it saw."""

import re
import time

from tests.support.mesh import STATE, wait_for
from tests.support.packets import Capture, why_not_tls13
from tests.support.prometheus_text import Samples
import attacks
import loads
import programs
import table


class Scenes:
    def __init__(self, mesh, claims):
        self.mesh = mesh
        self.claims = claims
        self.web, self.api, self.cache, self.db, self.legacy = (
            mesh.pods[name] for name in ('web', 'api', 'cache', 'db', 'legacy'))
        self.members = [self.web, self.api, self.cache, self.db]
        self.bulk_digest = None
        self.capture = None

    # Scene 1: everything comes up.

    def start(self):
        self.claims.step('Starting the control plane, the sidecars, and the programs (none of which is told of TLS)')
        self.capture = Capture('br0', f'{STATE}/main.pcap')
        self.mesh.start_control()
        self.mesh.start_sidecars()
        programs.start_redis(self.cache)
        self.bulk_digest = programs.start_nginx(self.api)
        programs.start_mariadb(self.db)
        for line in programs.versions():
            print('    ' + line)
        rows = [(pod.name, pod.ipv4, pod.ipv6, identity, serial[:12], f'{left} s')
                for pod in self.members
                for identity, serial, left in [table.certificates([pod])[pod.name]]]
        rows.append(('legacy', self.legacy.ipv4, self.legacy.ipv6, 'none: it has no sidecar', '', ''))
        print(table.render(['POD', 'IPV4', 'IPV6', 'IDENTITY', 'SERIAL', 'LEFT'], rows), flush=True)

    # Scene 2: the main job.

    def main_job(self):
        claims = self.claims
        claims.step('web calls api, cache and db, as it always did')
        with claims.claim('unmodified programs work over IPv4 and IPv6: HTTP, Redis, and MariaDB where the server speaks first'):
            for family, option in ((4, '-4'), (6, '-6')):
                page = programs.get(self.web, 'http://api/', option)
                claims.demand(page.stdout.strip() == programs.PAGE, f'curl {option} http://api/: {page.stdout} {page.stderr}')
                address = {name: getattr(self.mesh.services[name], f'ipv{family}') for name in ('cache', 'db')}
                value = programs.redis(self.web, address['cache'], 'GET', 'secret')
                claims.demand(value.stdout.strip() == programs.CACHE_VALUE, f'redis IPv{family}: {value.stdout} {value.stderr}')
                started = time.monotonic()
                row = programs.sql(self.web, address['db'], 'SELECT word FROM secrets')
                took = time.monotonic() - started
                claims.demand(row.stdout.strip() == programs.DB_VALUE, f'mariadb IPv{family}: {row.stdout} {row.stderr}')
                claims.saw(f'IPv{family}: curl, redis-cli and mariadb got their answers (mariadb in {took * 1000:.0f} ms)')
        with claims.claim('calls to a pod\'s own address and to itself work just the same'):
            page = programs.get(self.web, 'http://api-pod/')
            claims.demand(page.stdout.strip() == programs.PAGE, f'by pod IP: {page.stderr}')
            page = programs.get(self.web, f'http://[{self.api.ipv6}]/')
            claims.demand(page.stdout.strip() == programs.PAGE, f'by pod IPv6: {page.stderr}')
            for url in ('http://127.0.0.1/', 'http://api-pod/', 'http://api/'):
                page = programs.get(self.api, url)
                claims.demand(page.stdout.strip() == programs.PAGE, f'api calls itself at {url}: {page.stderr}')
            claims.saw('web to api by pod IPv4 and IPv6; api to itself by loopback, pod IP and service address')
        with claims.claim('every packet between pods is TLS 1.3, and no known plaintext is among them'):
            self._judge_wire(self.capture.stop())

    def _judge_wire(self, traffic):
        claims = self.claims
        streams = traffic.with_payload()
        bad = [(s, why) for s, why in ((s, why_not_tls13(s)) for s in streams) if why]
        tunnels = [s for s in streams if s.destination[1] == 15008]
        families = {':' in s.destination[0] for s in tunnels}
        claims.saw(f'{traffic.packets} packets, {len(streams)} streams with data, {len(tunnels)} of them into tunnels; '
                   f'{len(bad)} not TLS 1.3')
        for stream, why in bad[:3]:
            claims.saw(f'{stream.source} -> {stream.destination}: {why}')
        claims.demand(not bad, f'{len(bad)} streams are something else')
        claims.demand(len(tunnels) >= 3, 'hardly any tunnel was seen, so the capture proves nothing')
        if len(families) < 2:
            claims.saw('tunnels of both families were not needed: endpoints were reached by one')
        found = [secret for secret in programs.SECRETS if secret.encode() in traffic.raw]
        claims.demand(not found, f'plaintext on the bridge: {found}')
        claims.saw(f'none of the {len(programs.SECRETS)} known plaintexts in {len(traffic.raw)} captured bytes')

    # Scene 3: identities.

    def who_talked(self):
        claims = self.claims
        claims.step('Who talked to whom, as the sidecars counted it')
        print(table.who_talked(self.members, self.mesh.trust_domain), flush=True)
        with claims.claim('each edge is mutual TLS with both SPIFFE identities, as both sides counted it'):
            for reporter in ('source', 'destination'):
                seen = {(e.source, e.destination): e for e in table.edges(self.members, reporter) if e.security == 'mutual_tls'}
                for called in (self.api, self.cache, self.db):
                    edge = seen.get((self.web.spiffe_id, called.spiffe_id))
                    claims.demand(edge is not None, f'{reporter} has not counted {self.web.spiffe_id} -> {called.spiffe_id}; '
                                                    f'it has {sorted(seen)}')
                    claims.demand(edge.connections + edge.requests >= 2,
                                  f'{reporter} counted {edge.connections} connections and {edge.requests} requests to {called.name}')
            serials = [serial for _, serial, _ in table.certificates(self.members).values()]
            claims.demand(len(set(serials)) == len(self.members), f'serials are not distinct: {serials}')
            claims.saw(f'3 edges from both sides, {len(set(serials))} certificates with serials of their own')

    # Scene 4: rotation.

    def rotation(self):
        claims = self.claims
        claims.step(f'Certificates live {self.mesh.certificate_ttl} here: they rotate under a bulk transfer and three query loops')
        with claims.claim('certificates rotate under load with not one failed request and not one broken connection'):
            watchers = {pod.name: loads.Watcher(lambda pod=pod: table.serial(pod), 0.5) for pod in self.members}
            load = loads.Loads(self.web, self.bulk_digest)
            counts, failures = load.finish()
            rotations = {name: len(watcher.stop()) - 1 for name, watcher in watchers.items()}
            claims.saw(f'answers: {loads.words(counts)}')
            claims.saw('certificates replaced meanwhile: ' + ', '.join(f'{n} {c}' for n, c in rotations.items()))
            claims.saw(f'failed: {len(failures)}')
            claims.demand(not failures, '; '.join(failures))
            claims.demand(min(rotations.values()) >= 2, f'too few rotations to prove anything: {rotations}')

    # Scene 5: a legacy caller, PERMISSIVE and STRICT.

    def legacy_answers(self):
        """What the legacy pod gets from the three services: {name: (worked, words)}."""
        page = programs.get(self.legacy, 'http://api-pod/', timeout=6)
        value = programs.redis(self.legacy, self.cache.ipv4, 'GET', 'secret')
        row = programs.sql(self.legacy, self.db.ipv6, 'SELECT word FROM secrets')
        return {
            'api': (page.stdout.strip() == programs.PAGE, page.stderr.strip()),
            'cache': (value.stdout.strip() == programs.CACHE_VALUE, (value.stdout + value.stderr).strip()),
            'db': (row.stdout.strip() == programs.DB_VALUE, row.stderr.strip()),
        }

    def legacy_caller(self):
        claims = self.claims
        claims.step('A pod without a sidecar calls, under PERMISSIVE')
        with claims.claim('under PERMISSIVE the legacy pod is let in, server-first included, and its plaintext is on the wire'):
            capture = Capture('br0', f'{STATE}/legacy.pcap', f'host {self.legacy.ipv4} or host {self.legacy.ipv6}')
            answers = self.legacy_answers()
            traffic = capture.stop()
            claims.demand(all(ok for ok, _ in answers.values()), f'{answers}')
            found = [secret for secret in programs.SECRETS if traffic.find(secret.encode())]
            claims.demand(len(found) == 3, f'the capture shows only {found}, so it could not have shown plaintext before either')
            claims.saw('curl, redis-cli and mariadb from legacy got their answers, and the capture shows all 3 plaintexts')
        with claims.claim('the legacy pod is listed by name and port as a plaintext caller'):
            self._plaintext_callers()
        self._strict()

    def _plaintext_callers(self):
        claims = self.claims
        names = {address: pod.name for pod in self.mesh.pods.values() for address in (pod.ipv4, pod.ipv6)}
        listed = [(names.get(labels['source'], 'unknown'), labels['source'], pod.name, labels['port'], int(value))
                  for pod in self.members
                  for labels, value in Samples(pod.admin('/metrics')).all('countersign_plaintext_callers_total')]
        print(table.render(['PLAINTEXT CALLER', 'ADDRESS', 'CALLED', 'PORT', 'CONNECTIONS'], listed), flush=True)
        for name, port in (('api', '80'), ('cache', '6379'), ('db', '3306')):
            claims.demand(any(row[0] == 'legacy' and row[2:4] == (name, port) for row in listed),
                          f'{name} does not list legacy at {port}')
        claims.demand(all(row[0] == 'legacy' for row in listed), f'others are listed too: {listed}')
        claims.saw('legacy is listed at api:80, cache:6379 and db:3306, and nobody else is')

    def _strict(self):
        claims = self.claims
        claims.step('One line of mesh.yaml is changed, PERMISSIVE to STRICT, while everything runs')
        load = loads.Loads(self.web)
        time.sleep(1)
        with claims.claim('under STRICT the legacy pod is refused, with an explained error and a count'):
            before = self._refusals()
            self._change_mode('PERMISSIVE', 'STRICT')
            changed = time.monotonic()
            wait_for('the legacy pod is refused at api',
                     lambda: programs.get(self.legacy, 'http://api-pod/', timeout=3).returncode != 0, 10)
            claims.saw(f'in force {time.monotonic() - changed:.1f} s after the file was written')
            wait_for('the legacy pod is refused at cache',
                     lambda: programs.CACHE_VALUE not in programs.redis(self.legacy, self.cache.ipv4, 'GET', 'secret').stdout, 10)
            started = time.monotonic()
            row = programs.sql(self.legacy, self.db.ipv6, 'SELECT word FROM secrets', connect_timeout=15)
            claims.demand(row.returncode != 0 and not row.stdout.strip(), f'db still lets it in: {row.stdout}')
            claims.saw(f'mariadb, which waits for the server to speak, was refused after {time.monotonic() - started:.1f} s')
            for pod in (self.api, self.cache, self.db):
                line = next((l for l in reversed(pod.sidecar.output().splitlines())
                             if 'STRICT' in l and (self.legacy.ipv4 in l or self.legacy.ipv6 in l or 'legacy' in l)), None)
                claims.demand(line is not None, f'{pod.name} does not say in its log whom it refused by which policy')
                claims.saw(f'{pod.name}: {line.strip()}')
            claims.demand(self._refusals() > before, 'the refusals are not counted')
        with claims.claim('members of the mesh notice nothing of the change'):
            counts, failures = load.finish()
            claims.saw(f'answers: {loads.words(counts)}; failed: {len(failures)}')
            claims.demand(not failures, '; '.join(failures))
        with claims.claim('changing the line back lets the legacy pod in again'):
            self._change_mode('STRICT', 'PERMISSIVE')
            wait_for('the legacy pod is let in again', lambda: all(ok for ok, _ in self.legacy_answers().values()), 10)

    def _refusals(self):
        return sum(Samples(pod.admin('/metrics')).sum('countersign_inbound_refused_total', source=address)
                   for pod in (self.api, self.cache, self.db) for address in (self.legacy.ipv4, self.legacy.ipv6))

    def _change_mode(self, old, new):
        with open(f'{self.mesh.config}/mesh.yaml') as file:
            text = file.read()
        self.claims.demand(text.count(f'mode: {old}') == 1, f'mesh.yaml does not say {old} once')
        self.mesh.write_config('mesh.yaml', text.replace(f'mode: {old}', f'mode: {new}'))
        print(f'    - mode: {old}\n    + mode: {new}', flush=True)

    # Scene 6: the control plane dies.

    def control_plane_loss(self):
        claims = self.claims
        claims.step('The control plane is killed (SIGKILL) and started again, under load')
        with claims.claim('traffic goes on while the control plane is dead, and the proxies come back by themselves'):
            load = loads.Loads(self.web)
            time.sleep(1)
            self.mesh.control.kill()
            killed = time.monotonic()
            connected = {pod.name: loads.Watcher(lambda pod=pod: self._connected(pod), 0.1) for pod in self.members}
            time.sleep(4)
            self.mesh.start_control()
            started = time.monotonic()
            claims.saw(f'dead for {started - killed:.1f} s')
            wait_for('every sidecar has noticed and is connected again',
                     lambda: all([value for _, value in w.changes][-2:] == [False, True] for w in connected.values()), 30)
            back = {name: watcher.stop()[-1][0] - started for name, watcher in connected.items()}
            counts, failures = load.finish()
            claims.saw(f'answers: {loads.words(counts)}; failed: {len(failures)}')
            claims.demand(not failures, '; '.join(failures))
        with claims.claim('they reconnect with jitter, not all at once'):
            claims.saw('connected again after ' + ', '.join(f'{n} {t:+.2f} s' for n, t in sorted(back.items(), key=lambda i: i[1])))
            spread = max(back.values()) - min(back.values())
            claims.demand(spread > 0.15, f'all came back within {spread * 1000:.0f} ms')
        with claims.claim('certificates go on rotating under the restarted control plane'):
            before = {pod.name: table.serial(pod) for pod in self.members}
            wait_for('every sidecar has a new certificate',
                     lambda: all(table.serial(pod) not in (None, before[pod.name]) for pod in self.members), 25, 0.5)
            page = programs.get(self.web, 'http://api/')
            claims.demand(page.stdout.strip() == programs.PAGE, f'{page.stderr}')

    def _connected(self, pod):
        try:
            samples = Samples(pod.admin('/metrics'))
        except Exception:  # whatever it is, the sidecar is not connected as far as we can see
            return None
        return samples.sum('countersign_identity_connected') == 1 and samples.sum('countersign_xds_connected') == 1

    # Scene 7: forged and foreign certificates.

    def forged_certificates(self):
        claims = self.claims
        claims.step('Stolen, forged and foreign certificates knock at api\'s tunnel port')
        attacks.play(self.mesh, claims, self.legacy, self.api)
        with claims.claim('honest callers are served all the while'):
            page = programs.get(self.web, 'http://api/')
            claims.demand(re.search(re.escape(programs.PAGE), page.stdout), page.stderr)
