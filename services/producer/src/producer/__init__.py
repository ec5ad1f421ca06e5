"""Accepts tenants' messages over HTTP and sends them to their queues."""
