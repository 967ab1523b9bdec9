"""Everything liqlab raises on purpose.

    LiqlabError
    ├── UserError              the caller can mend it: exit code 2
    │   ├── ConfigError        a parameter is unknown or out of range
    │   ├── SourceError        the captures hold nothing usable
    │   └── ResultsError       the results folder is not ours to write into
    └── EnvironmentFailure     disk, permission, another process: exit code 1
        ├── LakeBusyError      another process holds the lake
        └── LakeDamagedError   a file that the manifest names is missing or unreadable

Each message says what was found, where, and what to do.
"""

from __future__ import annotations

from pathlib import Path


class LiqlabError(Exception):
    """Base of every error that liqlab raises on purpose."""

    exit_code = 1


class UserError(LiqlabError):
    """Something the caller can mend."""

    exit_code = 2


class ConfigError(UserError):
    """A parameter is unknown, has the wrong type or lies outside its range."""


class SourceError(UserError):
    """A capture folder or file that holds nothing usable."""


class ResultsError(UserError):
    """A results folder that liqlab did not make."""


class EnvironmentFailure(LiqlabError):
    """The machine refuses: disk full, permission denied, resource taken."""


class LakeBusyError(EnvironmentFailure):
    """Another process holds the lake."""

    def __init__(self, lake: Path, holder: str) -> None:
        self.lake = lake
        self.holder = holder
        super().__init__(f"the lake {lake} is in use by {holder}; wait until it has finished, or use another --lake")


class LakeDamagedError(EnvironmentFailure):
    """A file that the lake's manifest names is missing or unreadable."""


def unknown_name(kind: str, name: str, available: list[str]) -> UserError:
    """The error for a name that is not in a catalogue: it lists what is.

    >>> print(unknown_name("preset", "plna", ["p95", "plan"]))
    unknown preset 'plna'; available: p95, plan
    """
    return UserError(f"unknown {kind} {name!r}; available: {', '.join(sorted(available)) or 'none'}")
