"""The claims, which last: their folders, and the objects that stand for them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from jhk8s_ext.cli.demo.settings import NAMESPACE

if TYPE_CHECKING:
    from pathlib import Path

    from jhk8s_ext.cli.demo.objects import Change, ObjectStore

_RESOURCE = "persistentvolumeclaims"


class Claims:
    """Claims of a store, kept for the next one.

    Parameters
    ----------
    store
        Gets the claims that were made before.
    folder
        With a folder for each claim.
    """

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        #: Beside the folders, as a claim's name never begins with a dot.
        self._file = folder / ".claims.json"
        self._restore()
        store.listeners.append(self._notice)

    def _restore(self) -> None:
        try:
            documents = json.loads(self._file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            # Never written, or cut short by a full disk: the folders say as much as is needed.
            documents = [
                {"metadata": {"name": path.name, "namespace": NAMESPACE}}
                for path in sorted(self._folder.iterdir())
                if path.is_dir()
            ]
        for document in documents:
            metadata = document["metadata"]
            # The cluster is a new one: it gives its own ids.
            kept = {
                key: metadata[key] for key in ("name", "labels", "annotations") if key in metadata
            }
            claim = {**document, "metadata": kept, "status": {"phase": "Bound"}}
            self._store.create(_RESOURCE, metadata["namespace"], claim)

    def _notice(self, change: Change) -> None:
        if change.resource != _RESOURCE:
            return
        if change.kind == "DELETED":
            # As the reclaim policy "Delete", which disks for single users have.
            shutil.rmtree(self._folder / change.item["metadata"]["name"], ignore_errors=True)
        claims = self._store.list(_RESOURCE, None, lambda _: True)
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(claims, indent=2) + "\n", encoding="utf-8")
        written.replace(self._file)
