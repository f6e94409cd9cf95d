"""C libraries are silenced, Python is not."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os, sys
from affekt.audio.silence import native_stderr_silenced
with native_stderr_silenced():
    os.write(2, b"from C\\n")
    print("from python", file=sys.stderr)
os.write(2, b"after\\n")
print("and python after", file=sys.stderr)
"""


def test_only_the_descriptor_is_silenced() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert found.stderr.splitlines() == ["from python", "after", "and python after"]
