"""For plain Locust and its web interface: `HOST=… TENANTS=… locust -f loadtests/locustfile.py`.

Without SHAPE the number of users is set in the web interface; with SHAPE=steady, ramp, … the
shape sets it. Everything else is as in `python -m tenantry_loadtests --help`, by environment.
"""

# ruff: noqa: INP001 - a file that Locust loads, part of no package
from __future__ import annotations

import os

from tenantry_loadtests.plain import plain

_plain = plain(dict(os.environ))
globals().update({users.__name__: users for users in _plain.users})
if _plain.shape is not None:
    globals()[_plain.shape.__name__] = _plain.shape
