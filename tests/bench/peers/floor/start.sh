#!/bin/bash
# Two bare relays without TLS or HTTP: what the kernel alone costs for the pair.
relay=${BENCH_RELAY:?the path of bench-relay}
$PINP "$relay" $((BASE + 12)) "$BACKEND" >"$WORK/B.log" 2>&1 &
echo "B $!" >>"$WORK/pids"
$PINP "$relay" $((BASE + 2)) $((BASE + 12)) >"$WORK/A.log" 2>&1 &
echo "A $!" >>"$WORK/pids"
cat >"$WORK/caps.json" <<CAPS
{"http": $((BASE + 2)), "l4": $((BASE + 2)),
 "note": "kernel floor: two bare epoll relays, no TLS, no HTTP parsing"}
CAPS
