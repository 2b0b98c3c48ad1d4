"""Exit statuses of the command."""

from enum import IntEnum


class Exit(IntEnum):
    """What came of a command."""

    OK = 0
    #: The account cannot log in, the rows cannot be imported, the start is refused, or the
    #: rendering differs.
    REFUSED = 1
    #: The command line or the hub's configuration cannot work.
    USAGE = 2
    #: A source or a database does not answer: nobody can say.
    UPSTREAM = 3
