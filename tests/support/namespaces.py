"""Runs a program of ours inside namespaces of its own: user (for an ordinary user), mount, network and process.

Everything that the program makes there (interfaces, rules, mounts, files on its private tmpfs, processes) is gone when
its last process ends, however it ends. Nothing of the machine is touched, so that two may run at the same time.
"""

import os
import signal
import subprocess
import sys
import threading

INSIDE = 'COUNTERSIGN_NAMESPACES_STOP_FD'
STATE = '/run/mesh'  # on the private tmpfs

_CURE_USER = """\
Network namespaces are needed here, and this user may not make them ({why}).
Either run it as root, or let ordinary users make user namespaces:
  - the package uidmap must be installed (tools/setup does that);
  - /etc/subuid and /etc/subgid must give the user {user} at least 65536 ids:
      usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}
  - the kernel must allow it: sysctl kernel.unprivileged_userns_clone (where it exists) must be 1."""

_CURE_ROOT = """\
Network namespaces are needed here, and root may not make them ({why}).
In a container, run it with --privileged, or with CAP_SYS_ADMIN and CAP_NET_ADMIN and no seccomp profile."""


def _flags():
    flags = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private']
    if os.geteuid() != 0:
        flags = ['--user', '--map-root-user', '--map-auto'] + flags
    return flags


def _user():
    import pwd
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _try(flags):
    """None if `unshare` works with these flags, else its complaint."""
    probe = subprocess.run(['unshare', *flags, 'sh', '-c', 'mount -t tmpfs probe /run && ip link set lo up'],
                           capture_output=True, text=True)
    return None if probe.returncode == 0 else (probe.stderr.strip() or f'exit code {probe.returncode}')


def enter():
    """Returns inside the namespaces; the process that called it outside becomes their keeper and never returns.

    SIGINT and SIGTERM to the keeper arrive inside as KeyboardInterrupt. If the keeper dies, so does everything inside.
    """
    if INSIDE in os.environ:
        _arrive(int(os.environ.pop(INSIDE)))
        return
    flags = _flags()
    why = _try(flags + ['--mount-proc'])
    if why is None:
        flags.append('--mount-proc')
    else:
        why = _try(flags)  # containers often hide parts of /proc, and then a new one may not be mounted
    if why is not None:
        cure = _CURE_ROOT if os.geteuid() == 0 else _CURE_USER
        sys.exit(cure.format(why=why, user=_user()))
    stop_read, stop_write = os.pipe()
    os.set_inheritable(stop_read, True)
    environment = dict(os.environ, **{INSIDE: str(stop_read)})
    child = subprocess.Popen(['unshare', *flags, sys.executable, '-B', *sys.argv], env=environment,
                             pass_fds=[stop_read], start_new_session=True)
    os.close(stop_read)
    asked = []

    def ask_to_stop(signum, frame):
        if not asked:
            asked.append(signum)
            os.close(stop_write)
        elif len(asked) < 3:
            asked.append(signum)
        else:
            child.kill()  # the person insists

    signal.signal(signal.SIGINT, ask_to_stop)
    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGHUP, ask_to_stop)
    code = child.wait()
    sys.exit(code if code >= 0 else 128 - code)


def _arrive(stop_fd):
    os.set_inheritable(stop_fd, False)

    def wait_for_keeper():
        os.read(stop_fd, 1)  # end of file: the keeper was asked to stop, or is dead
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=wait_for_keeper, daemon=True).start()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'mesh', '/run'], check=True)
    os.makedirs(STATE)
    os.makedirs('/run/netns')
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    if not os.path.exists('/proc/net/if_inet6'):
        sys.exit('The kernel has no IPv6, and what this checks includes IPv6. Boot without ipv6.disable=1.')
