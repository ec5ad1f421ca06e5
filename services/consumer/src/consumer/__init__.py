"""Stores tenants' messages from their queues, and serves reads."""
