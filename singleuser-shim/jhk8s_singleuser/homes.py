"""The home of a first login, made on the volume of all homes.

This runs in a container of its own, before the user's, as an account that the volume trusts. Which
one that is decides what is left to do once the folder is there:

- The user's own uid, with a gid that may write in the folder of all homes: the group is changed.
- Another uid, root being the one that may: the owner and the group are changed.

A home that is there is left alone, but for one that was begun here and not finished. That is told
by its ids, which no finished home has, by its mode and by its being empty. Being killed anywhere,
and running twice at once, thus leads to the same home.
"""

# ruff: noqa: PTH208
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import contextlib
import os
import stat

from .exits import HOME_NOT_MADE, StartError
from .record import Record
from .report import report
from .volume import Place, failure

#: Others pass, and see no names.
_PARENT_MODE = 0o711

#: How often somebody else may finish, or remove, what is being worked on.
_ATTEMPTS = 5


class NewHome(Record):
    """A home to be made: ``path``, relative to the volume at ``below``, and whose it shall be."""

    below: str
    path: str
    uid: int
    gid: int
    mode: int


def make_home(wish: NewHome) -> None:
    """Make a home, unless it is there.

    Raises
    ------
    StartError
        If that is not possible, with what an administrator has to do.
    """
    os.umask(0)
    by_user = os.geteuid() == wish.uid
    try:
        # A user would own the parents, and could then rename what others have in them.
        place = Place(wish.below, wish.path, parent_mode=None if by_user else _PARENT_MODE)
    except OSError as error:
        folder = os.path.dirname(f"{wish.below}/{wish.path}")  # noqa: PTH120
        raise failure(
            f"cannot make a home in {folder}, which has to be a folder that is no link and lies in "
            f"others that uid {os.geteuid()} with gid {os.getegid()} may pass",
            error,
            HOME_NOT_MADE,
        ) from error
    _Maker(wish, place).make()


class _Maker:
    def __init__(self, wish: NewHome, place: Place) -> None:
        self.wish, self.place = wish, place
        parent = os.fstat(place.folder)
        inherits = parent.st_mode & stat.S_ISGID
        self.fresh_ids = (os.geteuid(), parent.st_gid if inherits else os.getegid())
        self.fresh_mode = wish.mode & 0o777 | inherits
        self.has_made = False

    def make(self) -> None:
        for attempt in range(_ATTEMPTS):
            status = self._look()
            if status is None and not self._mkdir():
                return
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                kind = "a link" if stat.S_ISLNK(status.st_mode) else "no folder"
                raise StartError(
                    f"the home {self.place.path} cannot be made: what is there is {kind}; move it "
                    "away",
                    HOME_NOT_MADE,
                )
            if not self._is_begun(status):
                break
            try:
                self._finish()
            except OSError as error:
                # Somebody else may just have finished it, or removed it.
                if attempt == _ATTEMPTS - 1:
                    self._take_back()
                    raise self._refusal(error) from error
        if self.has_made:
            report(f"made the home {self.place.path} for uid {self.wish.uid}")

    def _look(self) -> os.stat_result | None:
        try:
            return self.place.look()
        except PermissionError:
            # A mount of the user's own, which nobody else may look at; making it will tell.
            return None

    def _mkdir(self) -> bool:
        """Make the folder; false where something is there that cannot be looked at."""
        try:
            os.mkdir(self.place.name, self.wish.mode & 0o777, dir_fd=self.place.folder)
        except FileExistsError:
            return self._is_visible()
        except PermissionError as error:
            sentence = (
                f"cannot make the home {self.place.path}: uid {os.geteuid()} with gid "
                f"{os.getegid()} has to be allowed to write in the folder it is in"
            )
            raise failure(sentence, error, HOME_NOT_MADE) from error
        except OSError as error:
            sentence = f"cannot make the home {self.place.path}"
            raise failure(sentence, error, HOME_NOT_MADE) from error
        self.has_made = True
        return True

    def _is_visible(self) -> bool:
        try:
            self.place.look()
        except PermissionError:
            return False
        return True

    def _finish(self) -> None:
        """Finish a home that was begun, unless it no longer is one."""
        descriptor = self.place.open()
        try:
            status = os.fstat(descriptor)
            if not self._is_begun(status) or os.listdir(descriptor):
                return
            if stat.S_IMODE(status.st_mode) != self.wish.mode:
                os.fchmod(descriptor, self.wish.mode)
            # The last step: with it the home is the user's, and no longer ours.
            if (status.st_uid, status.st_gid) != (self.wish.uid, self.wish.gid):
                os.fchown(descriptor, self.wish.uid, self.wish.gid)
        finally:
            os.close(descriptor)

    def _is_begun(self, status: os.stat_result) -> bool:
        """Say whether this is a home that was begun here and not finished."""
        ids, mode = (status.st_uid, status.st_gid), stat.S_IMODE(status.st_mode)
        if ids == self._wanted_ids:
            return ids == self.fresh_ids and mode == self.fresh_mode != self.wish.mode
        # Of what this process has made, a volume may give the ids that it likes.
        return self.has_made or (
            ids == self.fresh_ids and mode in (self.fresh_mode, self.wish.mode)
        )

    @property
    def _wanted_ids(self) -> tuple[int, int]:
        return self.wish.uid, self.wish.gid

    def _take_back(self) -> None:
        """Remove what nobody could use; nothing else goes."""
        if self.has_made:
            with contextlib.suppress(OSError):
                os.rmdir(self.place.name, dir_fd=self.place.folder)

    def _refusal(self, error: OSError) -> StartError:
        if os.geteuid() == self.wish.uid:
            advice = (
                f"uid {self.wish.uid} cannot give it the group {self.wish.gid}, and has to be a "
                "member of that group, for the file server too"
            )
        else:
            advice = (
                f"uid {os.geteuid()} cannot give it to uid {self.wish.uid}, as root alone may on "
                "most file servers"
            )
        return failure(f"cannot make the home {self.place.path}: {advice}", error, HOME_NOT_MADE)
