"""Closed forms, one module for each paper: they factorise once and return a function of time or of data."""
