"""``python -m ssltheory``."""

from ssltheory.book.cli import main

main()
