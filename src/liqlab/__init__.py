"""liqlab: a laboratory for forced liquidations on crypto perpetual futures."""

__version__ = "0.1.0"
