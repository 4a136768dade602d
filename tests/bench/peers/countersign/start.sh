#!/bin/bash
# Countersign: a control plane of its own (not counted), and two sidecars that get their identities and
# their configuration from it. HTTP travels over pooled HTTP/2, TCP over pooled HBONE; a new connection is a stream,
# so there is no resumption to switch off.
#
# Without netfilter nobody captures what A sends to the application's own address, so its HTTP ports are B's: what
# connects there is treated as captured on its way to the backend. SERVICES=N puts so many more Services, each with a
# workload of its own, into the mesh.
#
# This folder may be linked into another copy of the measure; COUNTERSIGN_ROOT says where the tree is when
# it was copied. COUNTERSIGN_BIN is the folder of the built programs; without it they are built first.
set -e
here=$(dirname "$(readlink -f "$0")")
root=${COUNTERSIGN_ROOT:-$(cd "$here/../../../.." && pwd)}
bin=${COUNTERSIGN_BIN:-}
if [ -z "$bin" ]; then
  bazel=${BAZEL:-bazel}
  (cd "$root" && $bazel build //control/main:countersign-control //proxy/main:countersign-proxy) >&2
  bin=$(cd "$root" && $bazel info bazel-bin 2>/dev/null)
fi
control=$bin/control/main/countersign-control
proxy=$bin/proxy/main/countersign-proxy

fail() {
  echo "countersign: $1" >&2
  tail -n 20 "$WORK"/*.log >&2
  exit 1
}

# wait_for WHAT COMMAND...: until the command succeeds, a minute at most (a large mesh takes some time to read).
wait_for() {
  local what=$1 try
  shift
  for try in $(seq 1200); do
    "$@" 2>/dev/null && return
    sleep 0.05
  done
  fail "$what: not within a minute"
}

at() { echo "127.0.0.1:$((BASE + $1))"; }
service=10.96.0.1
http=$((BASE + 13)) http2=$((BASE + 14))

mkdir -p "$WORK/config"
cat >"$WORK/config/mesh.yaml" <<CONFIG
apiVersion: countersign.dev/v1alpha1
kind: Mesh
metadata:
  name: mesh
spec:
  trustDomain: cluster.local
  mtls:
    mode: STRICT
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata:
  name: client
  namespace: default
spec:
  addresses: [127.0.0.2]
  serviceAccount: client
  tunnel: HBONE
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata:
  name: server
  namespace: default
  labels:
    app: server
spec:
  addresses: [127.0.0.1]
  serviceAccount: server
  tunnel: HBONE
  tunnelPort: $((BASE + 12))
  ports:
    - name: http2
      port: $BACKEND_H2
---
apiVersion: v1
kind: Service
metadata:
  name: server
  namespace: default
spec:
  clusterIP: $service
  selector:
    app: server
  ports:
    - name: tcp
      port: $BACKEND
    - name: http
      port: 80
      targetPort: $http
    - name: http2
      port: 81
      targetPort: $http2
CONFIG
# A file may hold 1,000 documents.
for ((i = 0; i < ${SERVICES:-0}; i++)); do
  cat >>"$WORK/config/others-$((i / 400)).yaml" <<CONFIG
apiVersion: v1
kind: Service
metadata: {name: other-$i}
spec:
  clusterIP: 10.$((97 + i / 65536)).$((i / 256 % 256)).$((i % 256))
  selector: {app: other-$i}
  ports: [{name: http, port: 80}]
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: other-$i, labels: {app: other-$i}}
spec: {addresses: [10.$((197 + i / 65536)).$((i / 256 % 256)).$((i % 256))], serviceAccount: other-$i}
---
CONFIG
done

"$control" --config-dir "$WORK/config" --state-dir "$WORK/state" --listen "$(at 40)" \
  --metrics-listen "$(at 41)" --log-level warn >"$WORK/control.log" 2>&1 &
echo "control $!" >>"$WORK/pids.aux"
wait_for "the control plane's trust bundle" test -s "$WORK/state/bundle.pem"

# sidecar SIDE WORKLOAD ADMIN-OFFSET FLAGS...
sidecar() {
  local side=$1 workload=$2 offset=$3
  shift 3
  "$control" token create --state-dir "$WORK/state" \
    --spiffe-id "spiffe://cluster.local/ns/default/sa/$workload" >"$WORK/$workload.token"
  $PINP "$proxy" --control "$(at 40)" --trust-bundle "$WORK/state/bundle.pem" \
    --trust-domain cluster.local --join-token-file "$WORK/$workload.token" \
    --workload "$workload" --namespace default --concurrency 1 --log-level warning \
    --admin "$(at "$offset")" --metrics-listen "$(at $((offset + 1)))" --ready-listen off \
    --outbound-listen off --inbound-listen off "$@" \
    >"$WORK/$side.log" 2>&1 &
  echo "$side $!" >>"$WORK/pids"
}
sidecar B server 42 --hbone-listen "$(at 12)" \
  --inbound-forward "127.0.0.1:$http=127.0.0.1:$BACKEND" \
  --inbound-forward "127.0.0.1:$http2=127.0.0.1:$BACKEND_H2"
sidecar A client 44 --hbone-listen off \
  --forward "$(at 1)=$service:80" --forward "$(at 2)=$service:$BACKEND" \
  --forward "$(at 3)=$service:$BACKEND" --forward "$(at 4)=$service:81" --forward "$(at 5)=$service:$BACKEND"

# In a subshell, as a refused connection ends the shell.
ready() (
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf 'GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
  read -r -t 1 status <&3
  [[ $status == *" 200 "* ]]
)
wait_for "sidecar B" ready $((BASE + 42))
wait_for "sidecar A" ready $((BASE + 44))

cat >"$WORK/caps.json" <<CAPS
{"http": $((BASE + 1)), "l4": $((BASE + 2)), "l4r": $((BASE + 3)), "h2": $((BASE + 4)), "http_alt": $((BASE + 5)),
 "host": "127.0.0.1",
 "note": "--concurrency 1; HTTP -> pooled HTTP/2, TCP -> pooled HBONE (mTLS 1.3, SPIFFE IDs verified); http_alt: HTTP as TCP"}
CAPS
