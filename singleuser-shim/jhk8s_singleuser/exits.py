"""How a start can fail: the exit codes, and the one error that carries them.

``README.md`` has the same table for operators. 70 is ``EX_SOFTWARE`` of sysexits.h, 126 and 127 are
what a POSIX shell exits with; the others are ours.
"""

from __future__ import annotations

INTERNAL_ERROR = 70
"""A defect of the shim itself; a traceback is on stderr."""

BAD_SPEC = 71
"""The start spec is missing, cannot be read or does not follow the contract."""

WRONG_IDENTITY = 72
"""The process does not run as the uid and gid of the start spec."""

BAD_HOME = 73
"""The home directory cannot be made or cannot be used."""

BAD_STORE = 74
"""The directory that holds the user's lasting files cannot be used."""

BAD_ACCOUNTS = 75
"""The user's account cannot be written into the image's account files."""

FAILED_HOOK = 76
"""A hook of the image failed, and the operator wants none to."""

BAD_LINK = 77
"""A link without which the server shall not start cannot be made."""

HOME_MISSING = 78
"""The real home is not there, and nobody makes it."""

HOME_NOT_PERMITTED = 79
"""The real home is there, and the user may not enter it, list it or write in it."""

HOME_FULL = 80
"""There is no room on the volume of a home that has to be made."""

HOME_OVER_QUOTA = 81
"""The user's quota has no room for a home that has to be made."""

HOME_NOT_MADE = 82
"""The home of a first login cannot be made on the volume of all homes."""

HOME_NOT_REMOVED = 83
"""The home of a user who was removed cannot be archived or deleted; no server ends with it."""

COMMAND_NOT_EXECUTABLE = 126
"""The server's command was found and cannot be run."""

COMMAND_NOT_FOUND = 127
"""The server's command was not found."""


class StartError(Exception):
    """The server cannot be started, and why.

    Parameters
    ----------
    sentence
        What is wrong, with the value and where it came from; shown to the user as it is.
    exit_code
        One of this module's codes.
    """

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.exit_code = exit_code
