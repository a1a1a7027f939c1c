"""The machinery that makes the book of the chapters."""
