"""The graph of rooms: reads arrows.txt and answers who may use whom."""

import fnmatch


class ArrowsError(Exception):
    """arrows.txt itself is wrong."""


class Arrows:
    def __init__(self, text):
        self.edges = {}
        self.leaves = set()
        self.walls = []
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split('#', 1)[0].strip()
            if not line:
                continue
            if line.startswith('wall '):
                a, _, b = line[5:].partition('|')
                self.walls.append((a.strip(), b.strip()))
            elif line.startswith('leaf '):
                self.leaves.add(line[5:].strip())
            elif '->' in line:
                room, _, rest = line.partition('->')
                targets = {t.strip() for t in rest.split(',') if t.strip()}
                if room.strip() in self.edges:
                    raise ArrowsError(f'arrows.txt:{number}: {room.strip()} is declared twice')
                self.edges[room.strip()] = targets
            else:
                raise ArrowsError(f'arrows.txt:{number}: expected `room -> rooms`, `leaf room` or `wall a | b`')
        self._refuse_cycles()
        self._reach = {}

    def _refuse_cycles(self):
        done, path = set(), []

        def visit(room):
            if room in done:
                return
            if room in path:
                circle = path[path.index(room):] + [room]
                raise ArrowsError('arrows.txt: a cycle: ' + ' -> '.join(circle))
            path.append(room)
            for target in sorted(self.edges.get(room, ())):
                visit(target)
            path.pop()
            done.add(room)

        for room in sorted(self.edges):
            visit(room)

    def _edges_of(self, room):
        if room in self.edges:
            return self.edges[room]
        for pattern, targets in self.edges.items():
            if '*' in pattern and fnmatch.fnmatch(room, pattern):
                return targets
        return None

    def reachable(self, room):
        if room not in self._reach:
            seen, todo = set(), [room]
            while todo:
                for target in self._edges_of(todo.pop()) or ():
                    if target not in seen:
                        seen.add(target)
                        todo.append(target)
            self._reach[room] = seen
        return self._reach[room]

    def refusal(self, source, target, is_test):
        """Why `source` may not use `target`, or None if it may."""
        if source == target:
            return None
        top, other = source.split('/')[0], target.split('/')[0]
        for a, b in self.walls:
            # A wall with api on one side is one way: everybody may use api.
            if (top, other) == (a, b) or ((top, other) == (b, a) and 'api' not in (a, b)):
                return f'{top} and {other} never meet'
        if is_test or target in self.leaves:
            return None
        if self._edges_of(source) is None:
            return f'{source} is not a room of tools/lint/arrows.txt'
        if target not in self.reachable(source):
            return f'no arrow leads from {source} to {target} in tools/lint/arrows.txt'
        return None
