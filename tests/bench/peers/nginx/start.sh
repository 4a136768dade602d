#!/bin/bash
# nginx, a single process each. HTTP: HTTP/1.1 over mTLS from a keepalive pool (nginx has no HTTP/2 to
# upstreams but grpc_pass, which serves the h2 phase and does not multiplex).
set -e

main() {
  cat <<CONFIG
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
pid $WORK/$1.pid;
error_log $WORK/$1.err error;
worker_rlimit_nofile 20000;
events { worker_connections 10000; }
CONFIG
}

http_common() {
  local kind
  for kind in client_body proxy fastcgi uwsgi scgi; do
    echo "${kind}_temp_path $WORK/tmp_$1_$kind;"
  done
  echo "access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; tcp_nodelay on;"
}

pool() { echo "upstream $1 { server 127.0.0.1:$2; keepalive 256; keepalive_requests 1000000000; }"; }

# The directives of a TLS client, for proxy_ or grpc_.
client() {
  cat <<CONFIG
$1_ssl_certificate $CERTS/client.crt;
$1_ssl_certificate_key $CERTS/client.key;
$1_ssl_trusted_certificate $CERTS/ca.crt;
$1_ssl_verify on;
$1_ssl_name server.bench.local;
$1_ssl_protocols TLSv1.3;
$1_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
CONFIG
}

server() {
  cat <<CONFIG
ssl_certificate $CERTS/server.crt;
ssl_certificate_key $CERTS/server.key;
ssl_client_certificate $CERTS/ca.crt;
ssl_verify_client on;
ssl_protocols TLSv1.3;
ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
ssl_ecdh_curve X25519;
CONFIG
}

kept_alive="proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host \$http_host;"

cat >"$WORK/A.conf" <<CONFIG
$(main A)
http {
  $(http_common A)
  $(pool b_http $((BASE + 11)))
  $(pool b_h2 $((BASE + 14)))
  server {
    listen 127.0.0.1:$((BASE + 1)) backlog=4096;
    location / { proxy_pass https://b_http; $kept_alive $(client proxy) }
  }
  server {
    listen 127.0.0.1:$((BASE + 4)) http2 backlog=4096;
    http2_max_concurrent_streams 256;
    location / { grpc_pass grpcs://b_h2; $(client grpc) }
  }
}
stream {
  access_log off;
  tcp_nodelay on;
  server {
    listen 127.0.0.1:$((BASE + 2)) backlog=4096;
    proxy_pass 127.0.0.1:$((BASE + 12));
    proxy_ssl on;
    proxy_ssl_session_reuse off;
    $(client proxy)
  }
  server {
    listen 127.0.0.1:$((BASE + 3)) backlog=4096;
    proxy_pass 127.0.0.1:$((BASE + 12));
    proxy_ssl on;
    proxy_ssl_session_reuse on;
    $(client proxy)
  }
}
CONFIG

cat >"$WORK/B.conf" <<CONFIG
$(main B)
http {
  $(http_common B)
  $(pool app "$BACKEND")
  $(pool app_h2 "$BACKEND_H2")
  server {
    listen 127.0.0.1:$((BASE + 11)) ssl backlog=4096;
    $(server)
    location / { proxy_pass http://app; $kept_alive }
  }
  server {
    listen 127.0.0.1:$((BASE + 14)) ssl http2 backlog=4096;
    $(server)
    location / { grpc_pass grpc://app_h2; }
  }
}
stream {
  access_log off;
  tcp_nodelay on;
  server {
    listen 127.0.0.1:$((BASE + 12)) ssl backlog=4096;
    ssl_handshake_timeout 20s;
    $(server)
    proxy_pass 127.0.0.1:$BACKEND;
  }
}
CONFIG

for side in B A; do
  $PINP nginx -p "$WORK" -c "$WORK/$side.conf" >"$WORK/$side.log" 2>&1 &
  echo "$side $!" >>"$WORK/pids"
done
cat >"$WORK/caps.json" <<CAPS
{"http": $((BASE + 1)), "l4": $((BASE + 2)), "l4r": $((BASE + 3)), "h2": $((BASE + 4)),
 "note": "one process; http: h1 over mTLS keepalive pool; h2: grpc_pass, no upstream multiplexing"}
CAPS
