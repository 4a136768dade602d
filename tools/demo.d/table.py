"""Who talked to whom, from the sidecars' own metrics and certificate pages."""

import time

from tests.support.mesh import MeshError
from tests.support.prometheus_text import Samples

OPENED = 'countersign_tcp_connections_opened_total'
REQUESTS = 'countersign_requests_total'
PEER_NOT_AFTER = 'countersign_peer_certificate_not_after_timestamp_seconds'


def certificates(pods):
    """{pod name: (SPIFFE ID, serial, seconds left)} of the leaf that each sidecar has now."""
    found = {}
    for pod in pods:
        page = pod.admin_json('/certs')
        if page.get('chain'):
            leaf = page['chain'][0]
            found[pod.name] = (page['identity'], leaf['serial'], leaf['expires_in_seconds'])
    return found


def serial(pod):
    """Of the leaf in force, or None while the page does not answer."""
    try:
        return pod.admin_json('/certs')['chain'][0]['serial']
    except (MeshError, KeyError, IndexError, ValueError):  # the sidecar may be starting
        return None


class Edge:
    """What one sidecar counted from one identity to another: TCP connections, HTTP requests."""

    def __init__(self, pod, labels):
        self.reporter = pod.name
        self.labels = labels
        self.connections = self.requests = 0
        self.source = labels.get('source_principal') or labels.get('source_workload') or 'unknown'
        self.destination = labels.get('destination_principal') or labels.get('destination_workload') or 'unknown'
        self.security = labels.get('connection_security_policy')


def edges(pods, reporter='destination'):
    found = {}
    for pod in pods:
        samples = Samples(pod.admin('/metrics'))
        for family, unit in ((OPENED, 'connections'), (REQUESTS, 'requests')):
            for labels, value in samples.all(family, reporter=reporter):
                if value:
                    fresh = Edge(pod, labels)
                    edge = found.setdefault((pod.name, fresh.source, fresh.destination, fresh.security), fresh)
                    setattr(edge, unit, getattr(edge, unit) + int(value))
    return list(found.values())


def short(identity, trust_domain):
    return identity.replace(f'spiffe://{trust_domain}/', '…/')


def render(header, rows):
    rows = [header] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return '\n'.join('    ' + '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def peers(pods):
    """{(reporter, peer's SPIFFE ID): (serial, seconds left)} of the certificates that peers showed and that open
    connections still rest on; of several the one that lives longest."""
    found = {}
    for pod in pods:
        for labels, not_after in Samples(pod.admin('/metrics')).all(PEER_NOT_AFTER):
            key = (pod.name, labels['peer_principal'])
            if not_after and (key not in found or not_after > found[key][1]):
                found[key] = (labels['serial'], not_after)
    return {key: (serial_, round(not_after - time.time())) for key, (serial_, not_after) in found.items()}


def who_talked(pods, trust_domain):
    """The table, as text: each edge as its destination's sidecar counted it, with the certificates as the two sides saw
    each other's."""
    names = {pod.spiffe_id: pod.name for pod in pods}
    seen = peers(pods)
    rows = []
    for edge in edges(pods):
        row = [short(edge.source, trust_domain), short(edge.destination, trust_domain), edge.security, edge.connections or '', edge.requests or '']
        for who in ((edge.reporter, edge.labels.get('source_principal')),
                    (names.get(edge.source), edge.labels.get('destination_principal'))):
            serial_, left = seen.get(who, ('-', '-'))
            row += [serial_[:16], left if left == '-' else f'{left} s']
        rows.append(row)
    return render(['CALLER', 'CALLED', 'ON THE WIRE', 'CONNECTIONS', 'REQUESTS', 'CALLER\'S SERIAL', 'LEFT', 'CALLED\'S SERIAL', 'LEFT'],
                  sorted(rows, key=str))
