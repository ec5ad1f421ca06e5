"""Measured claims, each beside its baseline, measured in turn in one run."""
