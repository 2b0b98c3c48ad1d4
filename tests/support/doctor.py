"""`jhk8s doctor`, run in this process, and what it has found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jhk8s_ext.cli.main import main

CRYPT_KEY = "5e" * 32


@dataclass(frozen=True)
class Report:
    status: int
    text: str
    document: dict[str, Any]

    @property
    def findings(self):
        return self.document["findings"]

    def of(self, check, status=None):
        """Return the findings of a check."""
        return [
            finding
            for finding in self.findings
            if finding["check"] == check and status in (None, finding["status"])
        ]

    def assert_found(self, check, status, setting, *texts):
        """Fail unless one line tells this fault, and the setting to change."""
        found = self.of(check, status)
        assert any(
            finding["setting"] == setting and all(text in finding["text"] for text in texts)
            for finding in found
        ), json.dumps(self.document, indent=2)
        assert self.status == {"error": 2}.get(status, self.status or 1)

    def problems(self):
        """Return what is neither fine nor left out."""
        return [finding for finding in self.findings if finding["status"] in ("warning", "error")]


def run_doctor(capsys, *arguments):
    """Run it with ``--json``."""
    capsys.readouterr()
    status = main(["doctor", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    return Report(status, captured.out, json.loads(captured.out))
