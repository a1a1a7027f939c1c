"""``python -m ssltheory``."""

from ssltheory.cli import main

main()
