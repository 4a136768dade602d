#!/bin/bash
# HAProxy, one thread each. HTTP: HTTP/1.1 -> HTTP/2 over mTLS -> HTTP/1.1.
set -e
client="ssl crt $CERTS/client.pem ca-file $CERTS/ca.crt verify required"
client="$client verifyhost server.bench.local ssl-min-ver TLSv1.3"
server="ssl crt $CERTS/server.pem ca-file $CERTS/ca.crt verify required ssl-min-ver TLSv1.3"

common() {
  cat <<CONFIG
global
  nbthread 1
  maxconn 9000
  tune.ssl.default-dh-param 2048
  ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-curves X25519
defaults
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
  maxconn 9000
  backlog 4096
CONFIG
}

{
  common
  cat <<CONFIG
listen http
  mode http
  http-reuse always
  bind 127.0.0.1:$((BASE + 1))
  server b 127.0.0.1:$((BASE + 11)) $client alpn h2 proto h2
listen http1
  mode http
  http-reuse always
  bind 127.0.0.1:$((BASE + 5))
  server b 127.0.0.1:$((BASE + 15)) $client
listen l4
  mode tcp
  bind 127.0.0.1:$((BASE + 2))
  server b 127.0.0.1:$((BASE + 12)) $client no-ssl-reuse
listen l4r
  mode tcp
  bind 127.0.0.1:$((BASE + 3))
  server b 127.0.0.1:$((BASE + 12)) $client
listen h2
  mode http
  http-reuse always
  bind 127.0.0.1:$((BASE + 4)) proto h2
  server b 127.0.0.1:$((BASE + 14)) $client alpn h2 proto h2
CONFIG
} >"$WORK/A.cfg"

{
  common
  cat <<CONFIG
listen http
  mode http
  http-reuse always
  bind 127.0.0.1:$((BASE + 11)) $server alpn h2
  server app 127.0.0.1:$BACKEND
listen http1
  mode http
  http-reuse always
  bind 127.0.0.1:$((BASE + 15)) $server
  server app 127.0.0.1:$BACKEND
listen l4
  mode tcp
  bind 127.0.0.1:$((BASE + 12)) $server
  server app 127.0.0.1:$BACKEND
listen h2
  mode http
  http-reuse always
  bind 127.0.0.1:$((BASE + 14)) $server alpn h2
  server app 127.0.0.1:$BACKEND_H2 proto h2
CONFIG
} >"$WORK/B.cfg"

for side in B A; do
  $PINP haproxy -db -f "$WORK/$side.cfg" >"$WORK/$side.log" 2>&1 &
  echo "$side $!" >>"$WORK/pids"
done
cat >"$WORK/caps.json" <<CAPS
{"http": $((BASE + 1)), "http_alt": $((BASE + 5)), "l4": $((BASE + 2)), "l4r": $((BASE + 3)),
 "h2": $((BASE + 4)),
 "note": "nbthread 1; http: h1 -> h2 over mTLS -> h1; http_alt: h1 over mTLS; l4: no-ssl-reuse"}
CAPS
