"""The machinery that makes the book of the chapters."""

from ssltheory.book import machine

machine.share()  # before anything imports torch
