"""`python -m consumer`."""

from __future__ import annotations

from consumer.app import run
from consumer.settings import Settings
from tenantry.serving import main

if __name__ == "__main__":
    main("consumer", Settings, run)
