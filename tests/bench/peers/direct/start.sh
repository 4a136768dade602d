#!/bin/bash
# No proxies: the load tool speaks to the backend directly.
: >"$WORK/pids"
cat >"$WORK/caps.json" <<CAPS
{"http": $BACKEND, "l4": $BACKEND, "h2": $BACKEND_H2, "note": "no proxies"}
CAPS
