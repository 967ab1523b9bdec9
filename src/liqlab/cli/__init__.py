"""The command line: `liqlab COMMAND …`."""

from liqlab.cli._main import build_parser, main

__all__ = ["build_parser", "main"]
