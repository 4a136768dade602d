#!/usr/bin/env python3
"""make_config.py WORK CERTS BASE BACKEND BACKEND_H2: writes A.json and B.json, Envoy's two configurations."""
import json
import sys

TYPE = "type.googleapis.com/envoy.extensions."
MANY = 100000


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Pair:
    def __init__(self, certs, base, backend, backend_h2):
        self.certs = certs
        self.base = base
        self.backend = backend
        self.backend_h2 = backend_h2

    def _tls(self, own, peer, alpn):
        peer_id = f"spiffe://cluster.local/ns/default/sa/{peer}"
        return {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
                "ecdh_curves": ["X25519"],
            },
            "tls_certificates": [{
                "certificate_chain": {"filename": f"{self.certs}/{own}.crt"},
                "private_key": {"filename": f"{self.certs}/{own}.key"},
            }],
            "validation_context": {
                "trusted_ca": {"filename": f"{self.certs}/ca.crt"},
                "match_typed_subject_alt_names": [
                    {"san_type": "URI", "matcher": {"exact": peer_id}}
                ],
            },
            "alpn_protocols": alpn,
        }

    def _upstream_tls(self, alpn, resume=True):
        config = {
            "@type": TYPE + "transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": self._tls("client", "server", alpn),
            "sni": "server.bench.local",
        }
        if not resume:
            config["max_session_keys"] = 0
        return {"name": "envoy.transport_sockets.tls", "typed_config": config}

    def _downstream_tls(self, alpn):
        return {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": TYPE + "transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": self._tls("server", "client", alpn),
                "require_client_certificate": True,
            },
        }

    def client_side(self):
        b = self.base
        return {"static_resources": {
            "listeners": [
                listener("http", b + 1, http_manager("http")),
                listener("l4", b + 2, tcp_proxy("l4")),
                listener("l4r", b + 3, tcp_proxy("l4r")),
                listener("h2", b + 4, http_manager("h2")),
            ],
            "clusters": [
                cluster("http", b + 11, self._upstream_tls(["h2"]), "http2_protocol_options"),
                cluster("l4", b + 12, self._upstream_tls([], resume=False)),
                cluster("l4r", b + 12, self._upstream_tls([])),
                cluster("h2", b + 14, self._upstream_tls(["h2"]), "http2_protocol_options"),
            ],
        }}

    def server_side(self):
        b = self.base
        return {"static_resources": {
            "listeners": [
                listener("http", b + 11, http_manager("http"),
                         self._downstream_tls(["h2", "http/1.1"])),
                listener("l4", b + 12, tcp_proxy("l4"), self._downstream_tls([])),
                listener("h2", b + 14, http_manager("h2"), self._downstream_tls(["h2"])),
            ],
            "clusters": [
                cluster("http", self.backend, protocol="http_protocol_options"),
                cluster("l4", self.backend),
                cluster("h2", self.backend_h2, protocol="http2_protocol_options"),
            ],
        }}


def cluster(name, port, tls=None, protocol=None):
    endpoint = {"endpoint": {"address": address(port)}}
    limits = {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY,
              "max_retries": 100}
    result = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [limits]},
    }
    if tls:
        result["transport_socket"] = tls
    if protocol:
        result["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {protocol: {}},
            }
        }
    return result


def http_manager(name):
    route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}
    router = {"@type": TYPE + "filters.http.router.v3.Router"}
    manager = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": TYPE + manager,
            "stat_prefix": name,
            "codec_type": "AUTO",
            "generate_request_id": True,
            "route_config": {
                "name": name,
                "virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}],
            },
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        },
    }


def tcp_proxy(name):
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name,
            "cluster": name,
        },
    }


def listener(name, port, network_filter, tls=None):
    chain = {"filters": [network_filter]}
    if tls:
        chain["transport_socket"] = tls
    return {"name": name, "address": address(port), "filter_chains": [chain],
            "tcp_backlog_size": 4096}


def main():
    work, certs = sys.argv[1:3]
    pair = Pair(certs, *map(int, sys.argv[3:6]))
    for side, config in (("A", pair.client_side()), ("B", pair.server_side())):
        with open(f"{work}/{side}.json", "w", encoding="utf-8") as file:
            json.dump(config, file, indent=1)


main()
