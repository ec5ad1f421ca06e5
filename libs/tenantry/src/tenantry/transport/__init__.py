"""The calls of the hot path, without what botocore does for every call there could be.

`signing` signs, `connections` speaks HTTP/1.1, `calls` is what adapters use. ADR 0011 says why,
and what was measured.
"""

from __future__ import annotations

from typing import Literal

#: Which way the calls of the hot path take.
Transport = Literal["lean", "botocore"]
