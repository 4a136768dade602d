"""What a person can type while the demo stays up."""

import os

MARK = 'countersign-demo'


def invite(mesh):
    demo = './tools/demo'
    print(f"""
The mesh stays up until Ctrl-C. In another terminal, from this folder:

  {demo} exec web curl http://api/                       HTTP over the mesh (curl -6 for IPv6)
  {demo} exec web mariadb -h db -u app demo              a server-first protocol
  {demo} exec web redis-cli -h cache MONITOR             a client-first one
  {demo} exec legacy curl http://api-pod/                a caller without a sidecar
  {demo} exec --bridge tcpdump -i br0 -A -n              the wire
  {demo} exec --proxy api curl 'http://127.0.0.1:15000/connections'   also /certs /metrics /config_dump /logging
  {demo} exec --bridge vi {mesh.config}/mesh.yaml     change PERMISSIVE to STRICT and back
  {demo} exec --bridge tail -f {mesh.logs}/api-proxy.log
""", flush=True)


def find_demo():
    """Process ids of the first process inside each running demo of this user, as seen from here."""
    found = []
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open(f'/proc/{name}/environ', 'rb') as file:
                environment = file.read()
            with open(f'/proc/{name}/cmdline', 'rb') as file:
                command = file.read().split(b'\0')
        except OSError:
            continue  # gone, or not ours
        if b'COUNTERSIGN_NAMESPACES_STOP_FD=' in environment and any(c.endswith(b'demo.d/demo.py') for c in command) and \
                not command[0].endswith(b'unshare'):
            found.append(int(name))
    return found
