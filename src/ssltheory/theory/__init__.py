"""Closed forms, one module a paper: each factorises once and returns a function of time or of data."""
