"""Certificates that must be refused at the handshake, each for its own reason."""

import time

from tests.support import forgery
from tests.support.mesh import STATE
from tests.support.prometheus_text import Samples


def _refusals(pod):
    """{reason: count} of the handshakes that the sidecar, as server, has refused."""
    return {labels['reason']: value
            for labels, value in Samples(pod.admin('/metrics')).all('countersign_tls_handshake_failures_total', role='server')}


def play(mesh, claims, attacker, victim):
    stranger = forgery.Forger.stranger(f'{STATE}/forged/other-domain', 'evil.example')
    impostor = forgery.Forger.stranger(f'{STATE}/forged/impostor', mesh.trust_domain)
    insider = forgery.Forger.of_the_mesh(f'{STATE}/forged/insider', mesh)
    web = mesh.pods['web'].spiffe_id
    cases = [
        ('a certificate of another trust domain', stranger.leaf('leaf', ['spiffe://evil.example/ns/demo/sa/web'])),
        ('a certificate with a member\'s name from an authority that nobody trusts', impostor.leaf('leaf', [web])),
        ('an expired certificate of a member', insider.leaf('expired', [web], end='20240102000000Z')),
        ('a CA certificate with a member\'s name',
         insider.leaf('ca', [web], basicConstraints='critical,CA:TRUE', keyUsage='critical,digitalSignature,keyCertSign')),
        ('a certificate with two SPIFFE IDs', insider.leaf('two', [web, mesh.pods['db'].spiffe_id])),
        ('no certificate at all', (None, None)),
    ]
    reasons = {}
    for what, (chain, key) in cases:
        with claims.claim(f'{what} is refused at the handshake, with its own reason'):
            before, log_before = _refusals(victim), len(victim.sidecar.output())
            said = forgery.call_tunnel(attacker, victim.ipv4, chain, key)
            claims.demand('lert' in said, f'no TLS alert came back: {said[-300:]}')
            time.sleep(0.3)
            after = _refusals(victim)
            grown = [k for k, v in after.items() if v > before.get(k, 0)]
            claims.demand(grown, 'no counter with a reason has grown')
            reason = grown[0]
            line = next((l for l in victim.sidecar.output()[log_before:].splitlines() if attacker.ipv4 in l), None)
            claims.demand(line is not None, 'the log does not name the caller that was refused')
            claims.saw(f'reason in the metrics: {reason}')
            claims.saw(line.strip())
            claims.demand(reason not in reasons, f'the reason {reason} was given for {reasons.get(reason)} as well')
            reasons[reason] = what
    with claims.claim('a good certificate from the same forge would have been let in, so the refusals are the verifier\'s'):
        said = forgery.call_tunnel(attacker, victim.ipv4, *insider.leaf('good', [web]))
        claims.demand('lert' not in said and 'still open' in said, f'refused: {said[-300:]}')
