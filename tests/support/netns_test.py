"""Base of the tests that need a real kernel: enters namespaces, runs unittest, writes results for Bazel."""

import os
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree

from tests.support import namespaces
from tests.support.mesh import Binaries, Mesh, MeshError, clients_folder


class MeshTestCase(unittest.TestCase):
    """One mesh a process, made by the first class's `build` and used by all; tests find it as self.mesh."""

    mesh = None
    _built = False
    # Built with a sanitizer, programs are slower and larger: claims of time and memory are not judged.
    sanitized = 'COUNTERSIGN_SANITIZED' in os.environ

    @classmethod
    def build(cls, mesh):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        if MeshTestCase.mesh is not None:
            if not MeshTestCase._built:
                raise MeshError('the mesh could not be built; the first error says why')
            return
        MeshTestCase.mesh = Mesh(Binaries(os.environ.get('COUNTERSIGN_BINARIES', '.')))
        try:
            cls.build(cls.mesh)
        except BaseException:
            cls.show_logs()
            raise
        MeshTestCase._built = True

    @classmethod
    def show_logs(cls):
        for process in cls.mesh.processes:
            # Access logs share the file, and say nothing of why.
            lines = [line for line in process.tail(200).splitlines() if not line.lstrip().startswith('{')][-30:]
            print(f'---- last lines of {process.name}', *lines, sep='\n', file=sys.stderr, flush=True)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            self.show_logs()
        return result


class _Result(unittest.TextTestResult):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cases = []
        self._started = 0.0

    def startTest(self, test):
        self._started = time.monotonic()
        super().startTest(test)

    def _record(self, test, words):
        self.cases.append((test.id(), time.monotonic() - self._started, words))

    def addSuccess(self, test):
        super().addSuccess(test)
        self._record(test, None)

    def addError(self, test, err):
        super().addError(test, err)
        self._record(test, self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._record(test, self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._record(test, f'{subtest}\n{self._exc_info_to_string(err, test)}')

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._record(test, 'skipped: ' + reason)


def _write_xml(path, cases):
    suite = ElementTree.Element('testsuite', name='netns', tests=str(len(cases)),
                                failures=str(sum(1 for c in cases if c[2])))
    for name, seconds, words in cases:
        classname, _, method = name.rpartition('.')
        case = ElementTree.SubElement(suite, 'testcase', name=method, classname=classname, time=f'{seconds:.2f}')
        if words:
            ElementTree.SubElement(case, 'failure', message=words.splitlines()[-1]).text = words
    root = ElementTree.Element('testsuites')
    root.append(suite)
    ElementTree.ElementTree(root).write(path)


def _sanitizer_reports():
    """What sanitizers have said in the programs' logs."""
    found = []
    for name in sorted(os.listdir(MeshTestCase.mesh.logs)):
        with open(os.path.join(MeshTestCase.mesh.logs, name), errors='replace') as file:
            text = file.read()
        at = min((text.find(mark) for mark in ('ERROR: AddressSanitizer', 'ERROR: LeakSanitizer', 'runtime error: ') if mark in text),
                 default=-1)
        if at >= 0:
            found.append(f'{name}: {text[at:at + 6000]}')
    return found


def main():
    os.environ.setdefault('COUNTERSIGN_CLIENTS', clients_folder())  # inside, the user may have another number
    namespaces.enter()
    module = sys.modules['__main__']
    names = sys.argv[1:]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=_Result)
    try:
        result = runner.run(suite)
    except (KeyboardInterrupt, MeshError) as e:
        sys.exit(str(e) or 'interrupted')
    finally:
        if MeshTestCase.mesh is not None:
            MeshTestCase.mesh.close()
    reports = _sanitizer_reports() if MeshTestCase.mesh is not None else []
    print(*reports, sep='\n', flush=True)
    if os.environ.get('XML_OUTPUT_FILE'):
        _write_xml(os.environ['XML_OUTPUT_FILE'], result.cases)
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 and not reports else 1)
