"""Plants one violation of each rule in a small tree and demands that the linter names it."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from arrows import Arrows, ArrowsError  # noqa: E402

CLEAN = {
    'WORKSPACE': '',
    'proxy/http/README.md': 'purpose\n',
    'proxy/http/codec.h': '#ifndef COUNTERSIGN_PROXY_HTTP_CODEC_H_\n#define COUNTERSIGN_PROXY_HTTP_CODEC_H_\n'
                          '#include "proxy/buffer/slice.h"\n#endif  // COUNTERSIGN_PROXY_HTTP_CODEC_H_\n',
    'proxy/http/BUILD.bazel': 'cc_library(name = "codec", hdrs = ["codec.h"], deps = ["//proxy/buffer:slice"])\n',
}


class LintTest(unittest.TestCase):
    def lint(self, files, *arguments):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **files}.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, 'w') as file:
                    file.write(text)
            result = subprocess.run([sys.executable, os.path.join(HERE, 'lint.py'), '--root', root, *arguments],
                                    capture_output=True, text=True)
            return result.returncode, result.stdout + result.stderr

    def expect_caught(self, files, rule, words=''):
        code, output = self.lint(files, *([] if rule == 'format' else ['--no-format']))
        self.assertEqual(code, 1, output)
        self.assertIn(f' {rule}: ', output)
        self.assertIn(words, output)

    def test_a_clean_tree_passes(self):
        code, output = self.lint({}, '--no-format')
        self.assertEqual(code, 0, output)
        self.assertIn('0 errors', output)

    def test_an_include_against_the_arrows_is_caught(self):
        self.expect_caught({'proxy/http/bad.cc': '#include "proxy/upstream/pool.h"\n'}, 'arrow',
                           'no arrow leads from proxy/http to proxy/upstream')

    def test_a_dependency_against_the_arrows_is_caught(self):
        self.expect_caught({'proxy/http/BUILD.bazel': 'cc_library(name = "x", deps = ["//proxy/server:worker"])\n'},
                           'arrow', 'x depends on //proxy/server:worker')

    def test_proxy_and_control_never_meet_not_even_in_a_test(self):
        self.expect_caught({'proxy/http/codec_test.cc': '#include "control/ca/authority.h"\n'}, 'arrow', 'never meet')
        self.expect_caught({'control/ca/x.cc': '#include "proxy/stats/registry.h"\n'}, 'arrow', 'never meet')

    def test_the_shared_vocabulary_knows_no_program(self):
        self.expect_caught({'api/spiffe/x.cc': '#include "proxy/stats/registry.h"\n'}, 'arrow', 'never meet')

    def test_grpc_in_a_header_is_caught(self):
        self.expect_caught({'proxy/xds/s.h': '#include <grpcpp/channel.h>\n'}, 'grpc')
        self.expect_caught({'proxy/xds/s.h': '#include "api/xds/ads.grpc.pb.h"\n'}, 'grpc')

    def test_libevent_outside_its_room_is_caught(self):
        self.expect_caught({'proxy/http/bad.cc': '#include <event2/event.h>\n'}, 'libevent')

    def test_folders_named_for_nothing_are_caught(self):
        self.expect_caught({'proxy/common/x.txt': ''}, 'layout', 'common')

    def test_a_stranger_at_the_top_level_is_caught(self):
        self.expect_caught({'scripts/x.sh': '#!/bin/sh\n'}, 'layout', 'the top level is fixed')

    def test_a_file_named_for_nothing_is_caught(self):
        self.expect_caught({'proxy/http/string_utils.cc': ''}, 'name')
        self.expect_caught({'proxy/http/pool.cc': 'class PoolImpl {};\n'}, 'name')

    def test_a_path_of_one_machine_is_caught(self):
        self.expect_caught({'proxy/http/x.cc': '// see /' + 'home/somebody/notes\n'}, 'path')

    def test_unfinished_work_is_caught(self):
        self.expect_caught({'proxy/http/x.cc': '// TO' + 'DO: later\n'}, 'unfinished')

    def test_a_room_without_a_readme_is_caught(self):
        self.expect_caught({'proxy/net/x.cc': ''}, 'readme')

    def test_a_wrong_include_guard_is_caught(self):
        self.expect_caught({'proxy/http/y.h': '#ifndef Y_H\n#define Y_H\n#endif\n'}, 'guard')

    def test_a_broken_script_is_caught(self):
        self.expect_caught({'tools/x.sh': '#!/bin/bash\nif\n'}, 'script')
        self.expect_caught({'tools/lint/x.py': 'def\n'}, 'script')

    def test_bad_formatting_is_caught(self):
        self.expect_caught({'proxy/http/x.cc': 'int  f( ){return 1 ;}\n'}, 'format')

    def test_a_long_file_is_a_warning_only(self):
        code, output = self.lint({'proxy/http/long.cc': '\n' * 700}, '--no-format')
        self.assertEqual(code, 0, output)
        self.assertIn('700 lines', output)


class ArrowsTest(unittest.TestCase):
    def test_a_cycle_is_refused_by_name(self):
        with self.assertRaisesRegex(ArrowsError, 'a/x -> a/y -> a/x'):
            Arrows('a/x -> a/y\na/y -> a/x\n')

    def test_arrows_reach_through_rooms(self):
        arrows = Arrows('a/x -> a/y\na/y -> a/z\na/z -> \n')
        self.assertIsNone(arrows.refusal('a/x', 'a/z', False))
        self.assertIsNotNone(arrows.refusal('a/z', 'a/x', False))

    def test_an_unknown_room_may_use_nothing(self):
        self.assertIn('is not a room', Arrows('a/x -> \n').refusal('a/new', 'a/x', False))

    def test_the_projects_own_arrows_are_sound(self):
        with open(os.path.join(HERE, 'arrows.txt')) as file:
            Arrows(file.read())


if __name__ == '__main__':
    unittest.main()
