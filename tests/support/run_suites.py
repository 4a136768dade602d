"""Runs the suites of tools/test one after the other and sums up their test cases.

Bazel's build event file says which tests ran and where their results lie; the result files say how many cases each had.
A skipped or disabled case counts as failed: a test that did not run has shown nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Rooms whose tests run on one thread: ThreadSanitizer could see nothing there, and their code is in others' tests too.
THREADLESS = ('api', 'control/compile', 'deploy', 'proxy/buffer', 'proxy/config', 'proxy/filter', 'proxy/http',
              'proxy/listener', 'proxy/router', 'tests/fuzz')
SUITES = ('lint', 'opt', 'asan', 'tsan', 'demo')


class Tally:
    def __init__(self):
        self.passed = 0
        self.failures = []  # names

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures


def say(text):
    print('==> ' + text, flush=True)


def bazel_flags():
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return [f'--disk_cache={cache}/countersign/bazel', '--color=no', '--curses=no',
            '--show_progress_rate_limit=20']


def count_cases(label, xml_path, passed_by_bazel):
    """Cases of one test's result file."""
    tally = Tally()
    try:
        cases = ElementTree.parse(xml_path).getroot().iter('testcase')
    except (OSError, ElementTree.ParseError):
        cases = ()
    for case in cases:
        bad = any(child.tag in ('failure', 'error', 'skipped') for child in case)
        if bad or case.get('status') == 'notrun' or case.get('result') in ('skipped', 'suppressed'):
            tally.failures.append(f"{label} {case.get('classname', '')}.{case.get('name', '')}")
        else:
            tally.passed += 1
    if not passed_by_bazel and not tally.failures:
        tally.failures.append(label)  # crashed, timed out or could not start
    if passed_by_bazel and tally.passed == 0 and not tally.failures:
        tally.passed = 1  # a test that writes no cases
    return tally


def read_events(path, exit_code):
    tests, results, broken = set(), {}, set()
    with open(path) as file:
        for line in file:
            event = json.loads(line)
            kind = event['id']
            if 'targetConfigured' in kind and 'testSize' in event.get('configured', {}):
                tests.add(kind['targetConfigured']['label'])
            elif 'targetCompleted' in kind and not event.get('completed', {}).get('success'):
                broken.add(kind['targetCompleted']['label'])
            elif 'testResult' in kind and 'testResult' in event:
                result = event['testResult']
                xml = [o['uri'] for o in result.get('testActionOutput', ()) if o['name'] == 'test.xml']
                path_of_xml = urllib.parse.unquote(urllib.parse.urlparse(xml[0]).path) if xml else ''
                results.setdefault(kind['testResult']['label'], []).append((result['status'], path_of_xml))
    tally = Tally()
    for label in sorted(results):
        for status, xml in results[label]:
            tally.add(count_cases(label, xml, status == 'PASSED'))
    for label in sorted(broken):
        tally.failures.append(f'{label} (does not build)')
    if exit_code != 0 and not tally.failures:
        tally.failures.append(f'bazel itself (exit code {exit_code})')
    if not results:
        tally.failures.append('no test ran')
    return tally


def run_bazel(arguments):
    with tempfile.TemporaryDirectory(prefix='countersign-test-') as folder:
        events = os.path.join(folder, 'events.json')
        open(events, 'w').close()
        command = ['bazel', 'test', '--keep_going', f'--build_event_json_file={events}'] + bazel_flags() + arguments
        print('    ' + ' '.join(command), flush=True)
        code = subprocess.run(command, cwd=ROOT).returncode
        return read_events(events, code)


def suite_lint():
    say('lint: arrows, layout, names, formatting')
    tally = Tally()
    if subprocess.run([sys.executable, '-B', 'tools/lint/lint.py'], cwd=ROOT).returncode == 0:
        tally.passed = 1
    else:
        tally.failures.append('lint')
    return tally


def suite_opt():
    say('every test, optimised build (the first build takes some minutes)')
    return run_bazel(['//...'])


def suite_asan():
    say('unit tests and fuzz corpora under AddressSanitizer and UndefinedBehaviorSanitizer')
    # The attacks as the codecs see them are among these. Those on whole programs (//tests/netns:http_attack_test) hold floods to
    # rates that a slowed proxy misses; they find sanitizers' reports all the same when run by hand with --config=asan.
    return run_bazel(['--config=asan', '--test_tag_filters=-netns', '--build_tests_only', '//...'])


def suite_tsan():
    say('unit tests of whatever has threads, under ThreadSanitizer')
    arguments = ['--config=tsan', '--test_tag_filters=-netns,-notsan', '--build_tests_only', '--', '//...',
                 *(f'-//{room}/...' for room in THREADLESS)]
    # gcc 12's ThreadSanitizer gives up where the kernel spreads addresses wider than it expects.
    try:
        with open('/proc/sys/vm/mmap_rnd_bits') as file:
            if int(file.read()) > 28:
                arguments.insert(0, f'--run_under=/usr/bin/setarch {os.uname().machine} --addr-no-randomize')
    except OSError:
        pass
    return run_bazel(arguments)


def suite_demo():
    say('the demo checks its own claims')
    tally = Tally()
    with tempfile.NamedTemporaryFile(prefix='countersign-claims-', suffix='.json') as result:
        code = subprocess.run(['tools/demo', '--check', '--result', result.name], cwd=ROOT).returncode
        try:
            claims = json.load(result)
        except ValueError:
            claims = {}
    for claim, held in claims.items():
        if held:
            tally.passed += 1
        else:
            tally.failures.append(f'demo: {claim}')
    if code != 0 and not tally.failures:
        tally.failures.append(f'demo (exit code {code})')
    return tally


def main():
    wanted = sys.argv[1:] or list(SUITES)
    for name in wanted:
        if name not in SUITES:
            sys.exit(f'tools/test: no suite is called {name}; there are {", ".join(SUITES)}')
    total = Tally()
    for name in wanted:
        started = time.monotonic()
        tally = globals()['suite_' + name]()
        say(f'{name}: {tally.passed} passed, {len(tally.failures)} failed ({time.monotonic() - started:.0f} s)')
        tally.failures = [f'[{name}] {failure}' for failure in tally.failures]
        total.add(tally)
    for failure in total.failures:
        print('failed: ' + failure)
    print(f'{total.passed} passed, {len(total.failures)} failed')
    sys.exit(1 if total.failures else 0)


if __name__ == '__main__':
    main()
