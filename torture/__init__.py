"""A campaign that tries to break what was built: ``make torture``, or ``python -m torture NAME …``."""
