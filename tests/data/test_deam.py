from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from conftest_helpers import placeholder  # noqa
