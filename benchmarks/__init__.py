"""Ours timed against peers; each module is a command of its own."""

from ssltheory.book import machine

machine.share()  # before torch is imported
