"""The main job, shown and checked: unmodified programs, mutual TLS 1.3 between them. See tools/demo for the flags."""

import argparse
import os
import signal
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT, os.path.dirname(os.path.abspath(__file__))]

from tests.support import namespaces  # noqa: E402
from tests.support.mesh import Binaries, Mesh, MeshError  # noqa: E402
import claims as claims_module  # noqa: E402
import http_scenes  # noqa: E402
import poking  # noqa: E402
import programs  # noqa: E402
import scenes  # noqa: E402


def build_mesh(binaries):
    mesh = Mesh(binaries, certificate_ttl='16s')
    mesh.add_pod('web')
    mesh.add_pod('api', ports={'http': 80})
    mesh.add_pod('cache', ports={'redis': 6379})
    mesh.add_pod('db', ports={'mysql': 3306})
    mesh.add_pod('legacy', tunnel='NONE')
    mesh.add_service('api', 80, port_name='http')
    mesh.add_service('cache', 6379)
    mesh.add_service('db', 3306)
    http_scenes.HttpScenes.add_services(mesh)
    mesh.write_hosts()
    return mesh


def show_logs(mesh):
    for process in mesh.processes:
        if process.name == 'control' or process.name.endswith('-proxy'):
            print(f'  last lines of {process.name}:\n{process.tail(12)}')


def play(mesh, claims):
    scene = scenes.Scenes(mesh, claims)
    scene.start()
    scene.main_job()
    scene.who_talked()
    http = http_scenes.HttpScenes(mesh, claims)
    http.rolling_restart()
    http.canary()
    http.grpc()
    http.refusal()
    http.requests_counted()
    scene.rotation()
    scene.legacy_caller()
    scene.control_plane_loss()
    scene.forged_certificates()
    return scene


def main():
    parser = argparse.ArgumentParser(prog='tools/demo')
    parser.add_argument('--check', action='store_true', help='no person: check every claim, then end')
    parser.add_argument('--binaries', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--result', help='write the claims and whether they hold to this file, as JSON')
    options = parser.parse_args()
    options.binaries = os.path.realpath(options.binaries)
    namespaces.enter()
    claims = claims_module.Claims()
    mesh = None
    code = 1
    try:
        claims.step('Building the mesh: one bridge, five pods, one control plane, each in a network namespace of its own')
        mesh = build_mesh(Binaries(options.binaries))
        play(mesh, claims)
        claims.summary()
        code = 1 if claims.failed else 0
        if claims.failed:
            show_logs(mesh)
        if not options.check:
            poking.invite(mesh)
            signal.pause()
    except MeshError as e:
        print(f'\nThe demo cannot go on: {e}', flush=True)
        claims.results['the mesh comes up'] = (False, str(e))
        if mesh is not None:
            show_logs(mesh)
    except KeyboardInterrupt:
        print('\nEnding', flush=True)
        code = 130 if options.check else code
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the last steps are not to be interrupted
        if mesh is not None:
            mesh.close()
        if options.result:
            claims.write(options.result)
    sys.exit(code)


if __name__ == '__main__':
    main()
