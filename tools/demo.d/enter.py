"""tools/demo exec: runs a program inside a running demo."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT, os.path.dirname(os.path.abspath(__file__))]

from tests.support.mesh import PROXY_UID, APP_UID  # noqa: E402
import poking  # noqa: E402

USAGE = """\
usage: tools/demo exec POD COMMAND...            as the pod's application user
       tools/demo exec --proxy POD COMMAND...    as the pod's sidecar (its traffic is not captured)
       tools/demo exec --bridge COMMAND...       outside the pods, where the bridge is, as root"""


def main():
    arguments = sys.argv[1:]
    where = arguments.pop(0) if arguments and arguments[0].startswith('--') else None
    pod = None
    if where not in (None, '--proxy', '--bridge'):
        sys.exit(USAGE)
    if where != '--bridge' and arguments:
        pod = arguments.pop(0)
    if not arguments:
        sys.exit(USAGE)
    demos = poking.find_demo()
    if not demos:
        sys.exit('tools/demo exec: no demo of this user is running; start one with ./tools/demo')
    target = demos[-1]
    command = ['nsenter', f'--target={target}', '--mount', '--net', '--pid']
    if os.geteuid() != 0:
        command[1:1] = ['--user', '--preserve-credentials']
    if pod is not None:
        uid = PROXY_UID if where == '--proxy' else APP_UID
        command += ['nsenter', f'--net=/run/netns/{pod}', 'setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups']
    os.execvp(command[0], command + arguments)


if __name__ == '__main__':
    main()
