#!/usr/bin/env python3
"""Holds the code to the house rules: arrows between rooms, layout, names, formatting.

  tools/lint/lint.py [--root DIR] [--no-format]

Prints one line for each violation, `path:line: rule: what and what to do`, and a closing line. Exit code 1 if anything
is wrong. Warnings do not fail.
"""

import argparse
import ast
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from arrows import Arrows, ArrowsError  # noqa: E402

TOP_LEVEL = {
    'BUILD.bazel', 'WORKSPACE', 'proxy', 'control', 'api', 'tests', 'deploy', 'tools', 'README.md', 'ARCHITECTURE.md',
    'STYLE.md', 'CHANGELOG.md', 'LICENSE', '.bazelrc', '.bazelversion', '.bazelignore', '.clang-format', '.clang-tidy',
    '.ci', '.gitignore', '.gitattributes',
}
TOPS = ('proxy', 'control', 'api', 'tests', 'deploy', 'tools')
FORBIDDEN_FOLDERS = {'common', 'util', 'utils', 'misc', 'helper', 'helpers', 'shared', 'lib'}
LONGEST_FILE = 600
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
# Joined, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile('|'.join((r'(?<![\w.$}/])/' + 'work/', '/tmp/' + r'w[/\d]', '/' + r'home/\w+/',
                                    r'(?<![\w.$}/])/' + 'root/')))
UNFINISHED = re.compile(r'\b(' + 'TO' + 'DO|FIX' + 'ME|XX' + 'X' + r')\b')
GRPC_HEADER = re.compile(r'^(grpc/|grpcpp/|grpc\+\+/)|\.grpc\.pb\.h$')


def room_of(path):
    parts = path.split('/')
    return '/'.join(parts[:2]) if len(parts) > 2 and parts[0] in TOPS else None


def is_test_file(path):
    return path.split('/')[0] == 'tests' or re.search(r'(_test|_bench|_fuzzer|_fuzz)\.(cc|h)$', path) is not None


class Lint:
    def __init__(self, root):
        self.root = root
        self.errors = []
        self.warnings = []
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'arrows.txt')) as file:
            self.arrows = Arrows(file.read())
        self.files = self._list_files()

    def _list_files(self):
        git = subprocess.run(['git', '-C', self.root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
                             capture_output=True, text=True)
        if git.returncode == 0:
            names = git.stdout.split('\0')
        else:
            names = []
            for folder, folders, files in os.walk(self.root):
                folders[:] = [f for f in folders if f not in ('.git', '__pycache__') and not f.startswith('bazel-')]
                names += [os.path.relpath(os.path.join(folder, f), self.root) for f in files]
        return sorted({n for n in names if n and os.path.isfile(os.path.join(self.root, n))})

    def error(self, where, rule, what):
        self.errors.append(f'{where}: {rule}: {what}')

    def read(self, path):
        try:
            with open(os.path.join(self.root, path), encoding='utf-8') as file:
                return file.read()
        except UnicodeDecodeError:
            return None  # a corpus or an image: no rule speaks of it

    # Rules. Each takes the whole tree.

    def check_layout(self):
        for name in sorted({f.split('/')[0] for f in self.files}):
            if name not in TOP_LEVEL:
                self.error(name, 'layout', 'the top level is fixed; move it into the room of its concern')
        for folder in sorted({os.path.dirname(f) for f in self.files}):
            for part in folder.split('/'):
                if part in FORBIDDEN_FOLDERS:
                    self.error(folder, 'layout', f'no folder is called {part}; a thing belongs to its concern or to api/')
        for path in self.files:
            stem = os.path.basename(path).rsplit('.', 1)[0]
            if re.search(r'(^|_)(utils?|helpers?|common|misc|impl)$', stem) and path.endswith(('.cc', '.h', '.py', '.proto')):
                self.error(path, 'name', 'name the file for what it does')
        rooms = sorted({room_of(f) for f in self.files if room_of(f) and f.endswith(('.cc', '.h', '.proto', '.py', '.sh'))})
        for room in rooms:
            if not any(f.startswith(room + '/') and f.endswith('README.md') for f in self.files):
                self.error(room, 'readme', 'a room has a README.md of a few lines: purpose, seams, threads')

    def check_includes(self):
        for path in self.files:
            if not path.endswith(('.h', '.cc')):
                continue
            text = self.read(path)
            if text is None:
                continue
            source = room_of(path)
            for number, line in enumerate(text.splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                where, header = f'{path}:{number}', match.group(2)
                if path.endswith('.h') and GRPC_HEADER.search(header):
                    self.error(where, 'grpc', f'{header} is heavy; keep it in a .cc behind a narrow seam')
                if header.startswith('event2/') and not path.startswith('proxy/event/'):
                    self.error(where, 'libevent', f'{header} is used in proxy/event alone; use the Dispatcher')
                if match.group(1) == '"' and header.split('/')[0] not in TOPS and header not in ('CLI/CLI.hpp',):
                    if os.path.exists(os.path.join(self.root, os.path.dirname(path), header)):
                        self.error(where, 'include', f'write {os.path.dirname(path)}/{header}, from the workspace root')
                target = room_of(header)
                if match.group(1) == '"' and source and target:
                    why = self.arrows.refusal(source, target, is_test_file(path))
                    if why:
                        self.error(where, 'arrow', f'{header}: {why}')

    def check_build_files(self):
        for path in self.files:
            if os.path.basename(path) not in ('BUILD.bazel', 'BUILD') or path.startswith('tools/bazel/'):
                continue
            source = room_of(path)
            if source is None:
                continue
            try:
                tree = ast.parse(self.read(path), path)
            except SyntaxError as e:
                self.error(f'{path}:{e.lineno}', 'build', f'not readable: {e.msg}')
                continue
            for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
                self._check_rule(path, source, call)

    def _check_rule(self, path, source, call):
        kind = call.func.id if isinstance(call.func, ast.Name) else ''
        arguments = {k.arg: k.value for k in call.keywords}
        name = getattr(arguments.get('name'), 'value', '')
        testonly = getattr(arguments.get('testonly'), 'value', False)
        is_test = kind.endswith('_test') or bool(testonly) or source.startswith('tests/') or \
            re.search(r'_(bench|fuzzer|fuzz)$', str(name)) is not None
        if 'deps' not in arguments:
            return
        for node in ast.walk(arguments['deps']):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            match = re.match(r'//([^:]+)', node.value)
            if not match or match.group(1).startswith('tools/bazel'):
                continue
            target = room_of(match.group(1) + '/x')
            if target:
                why = self.arrows.refusal(source, target, is_test)
                if why:
                    self.error(f'{path}:{node.lineno}', 'arrow', f'{name} depends on {node.value}: {why}')

    def check_text(self):
        for path in self.files:
            if not path.endswith(('.h', '.cc', '.py', '.sh', '.md', '.proto', '.bazel', '.bzl', '.yaml', '.txt')) and \
                    not re.match(r'tools/\w+$|\.ci/', path):
                continue
            text = self.read(path)
            if text is None:
                continue
            lines = text.splitlines()
            for number, line in enumerate(lines, 1):
                if MACHINE_PATH.search(line):
                    self.error(f'{path}:{number}', 'path', 'a path of one machine; take it from the environment or a flag')
                if UNFINISHED.search(line) and not path.endswith('.md'):
                    self.error(f'{path}:{number}', 'unfinished', 'finish it, or say in a document what is not done')
                if path.endswith(('.h', '.cc')) and re.search(r'\bclass\s+\w+Impl\b', line):
                    self.error(f'{path}:{number}', 'name', 'no Impl: name the class for what it does')
            if len(lines) > LONGEST_FILE and not path.endswith('.md'):
                self.warnings.append(f'{path}: length: {len(lines)} lines; files over {LONGEST_FILE} want splitting')
            if path.endswith('.h'):
                guard = 'COUNTERSIGN_' + re.sub(r'[^A-Z0-9]', '_', path.upper()) + '_'
                if f'#ifndef {guard}\n' not in text:
                    self.error(path, 'guard', f'the include guard is {guard}')

    def check_scripts(self):
        for path in self.files:
            full = os.path.join(self.root, path)
            text = self.read(path)
            if text is None:
                continue
            first = text.split('\n', 1)[0]
            if first.startswith('#!') and ('bash' in first or first.endswith('/sh')):
                result = subprocess.run(['bash', '-n', full], capture_output=True, text=True)
                if result.returncode != 0:
                    self.error(path, 'script', result.stderr.strip().splitlines()[0])
            if path.endswith('.py'):
                try:
                    ast.parse(text, path)
                except SyntaxError as e:
                    self.error(f'{path}:{e.lineno}', 'script', e.msg)

    def check_format(self):
        sources = [f for f in self.files if f.endswith(('.h', '.cc'))]
        for at in range(0, len(sources), 50):
            result = subprocess.run(['clang-format-14', '--dry-run', '-Werror'] + sources[at:at + 50], cwd=self.root,
                                    capture_output=True, text=True)
            badly = sorted({line.split(':', 1)[0] for line in result.stderr.splitlines() if 'error:' in line})
            for path in badly:
                self.error(path, 'format', f'run clang-format-14 -i {path}')

    def run(self, with_format=True):
        self.check_layout()
        self.check_includes()
        self.check_build_files()
        self.check_text()
        self.check_scripts()
        if with_format:
            self.check_format()


def main():
    parser = argparse.ArgumentParser(description='Holds the code to the house rules.')
    parser.add_argument('--root', default=os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
    parser.add_argument('--no-format', action='store_true', help='skip clang-format')
    options = parser.parse_args()
    try:
        lint = Lint(os.path.abspath(options.root))
    except ArrowsError as e:
        print(e)
        return 1
    lint.run(with_format=not options.no_format)
    for warning in lint.warnings:
        print('warning:', warning)
    for error in lint.errors:
        print(error)
    print(f'lint: {len(lint.files)} files, {len(lint.errors)} errors, {len(lint.warnings)} warnings')
    return 1 if lint.errors else 0


if __name__ == '__main__':
    sys.exit(main())
