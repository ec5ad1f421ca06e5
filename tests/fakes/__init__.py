"""Fakes that tests share: they hold state, keep the original's promises, and never wait."""
