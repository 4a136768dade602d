"""Claims that the demo makes, each checked by looking, with what was seen."""

import contextlib
import json
import time
import traceback

from tests.support.mesh import MeshError


class ClaimFailed(Exception):
    """What was seen is not what was claimed."""


class Claims:
    def __init__(self):
        self.results = {}  # claim -> (held, what was seen)
        self._seen = []
        self._started = time.monotonic()

    def step(self, text):
        print(f'\n[{time.monotonic() - self._started:5.1f} s] {text}', flush=True)

    def saw(self, text):
        """Something measured that belongs to the claim being checked."""
        self._seen.append(text)
        print(f'    {text}', flush=True)

    @contextlib.contextmanager
    def claim(self, text):
        """The block looks; it raises ClaimFailed (see demand) where the claim does not hold. The demo goes on, so that
        one failure does not hide others."""
        self._seen = []
        try:
            yield
        except (ClaimFailed, MeshError) as e:
            self.results[text] = (False, str(e))
            print(f'  FAILED  {text}\n          {e}', flush=True)
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
            self.results[text] = (False, traceback.format_exc(limit=-3))
            print(f'  FAILED  {text}\n{traceback.format_exc(limit=-3)}', flush=True)
        else:
            self.results[text] = (True, '; '.join(self._seen))
            print(f'  ok      {text}', flush=True)

    def demand(self, condition, why):
        if not condition:
            raise ClaimFailed(why)

    @property
    def failed(self):
        return [claim for claim, (held, _) in self.results.items() if not held]

    def summary(self):
        print('\nWhat was claimed, and what was seen:')
        for claim, (held, _) in self.results.items():
            print(f'  {"ok    " if held else "FAILED"}  {claim}')
        print(f'{len(self.results) - len(self.failed)} claims hold, {len(self.failed)} fail '
              f'({time.monotonic() - self._started:.0f} s)', flush=True)

    def write(self, path):
        with open(path, 'w') as file:
            json.dump({claim: held for claim, (held, _) in self.results.items()}, file)
