#!/bin/bash
# Envoy, --concurrency 1 each, no admin, no access log, only the router filter (a mesh's own filters
# would cost more).
set -e
here=$(cd "$(dirname "$0")" && pwd)
cache=${COUNTERSIGN_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/countersign/bench}
envoy=${ENVOY:-$(compgen -G "$cache/venv/lib/python3*/site-packages/envoy/_bin/envoy" | head -1)}
python3 "$here/make_config.py" "$WORK" "$CERTS" "$BASE" "$BACKEND" "$BACKEND_H2"
for side in B A; do
  $PINP "$envoy" -c "$WORK/$side.json" --concurrency 1 --disable-hot-restart -l error \
    --use-dynamic-base-id >"$WORK/$side.log" 2>&1 &
  echo "$side $!" >>"$WORK/pids"
done
cat >"$WORK/caps.json" <<CAPS
{"http": $((BASE + 1)), "l4": $((BASE + 2)), "l4r": $((BASE + 3)), "h2": $((BASE + 4)),
 "note": "--concurrency 1; http: h1 -> h2 over mTLS -> h1; l4: tcp_proxy without resumption"}
CAPS
