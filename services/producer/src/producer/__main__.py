"""`python -m producer`."""

from __future__ import annotations

from producer.app import run
from producer.settings import Settings
from tenantry.serving import main

if __name__ == "__main__":
    main("producer", Settings, run)
