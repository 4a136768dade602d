"""Reads the Prometheus text format."""

import re

_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Samples:
    """Samples of one scrape: (name, labels, value)."""

    def __init__(self, text):
        self.samples = []
        for line in text.splitlines():
            match = None if line.startswith('#') else _SAMPLE.match(line)
            if match:
                labels = {k: v.replace('\\"', '"').replace('\\\\', '\\')
                          for k, v in _LABEL.findall(match.group(2) or '')}
                self.samples.append((match.group(1), labels, float(match.group(3))))

    def all(self, name, **labels):
        return [(found, value) for sample, found, value in self.samples
                if sample == name and all(found.get(k) == v for k, v in labels.items())]

    def sum(self, name, **labels):
        return sum(value for _, value in self.all(name, **labels))
