"""Closed forms of self-supervised-learning theory, and the measurements that hold them to account."""

__version__ = "0.1.0"
