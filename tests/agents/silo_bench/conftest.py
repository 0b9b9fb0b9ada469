"""Lets test files import the helper beside them."""

from __future__ import annotations

import sys
from pathlib import Path

# Test files are imported by path (--import-mode=importlib): helpers beside them need their folder named.
sys.path.insert(0, str(Path(__file__).parent))
