"""The chapters, one module each: its table of parameters, and ``CHAPTER``, by which the registry finds it."""
