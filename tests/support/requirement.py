"""What to do where a service is missing: skip and say so, or fail where the run asks for it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

SERVICES = ("postgres", "ray", "chromium", "model-server", "openenv", "verifiers")


def required() -> set[str]:
    """Services named in ``FOGLINE_REQUIRE`` (a comma-separated list)."""
    named = {name.strip() for name in os.environ.get("FOGLINE_REQUIRE", "").split(",")} - {""}
    unknown = named - set(SERVICES)
    if unknown:
        pytest.fail(f"FOGLINE_REQUIRE names {sorted(unknown)}: expected some of {SERVICES}", pytrace=False)
    return named


def unavailable(service: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where ``FOGLINE_REQUIRE`` lists the service."""
    if service in required():
        pytest.fail(f"{service}: {reason} (FOGLINE_REQUIRE asks for it)", pytrace=False)
    pytest.skip(f"{service}: {reason}")
