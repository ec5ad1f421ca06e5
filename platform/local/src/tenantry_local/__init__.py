"""Tenantry on a laptop: embedded engine, tenants, services, router, and a proof."""
