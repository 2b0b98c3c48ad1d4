#!/usr/bin/env python3
"""Build the start shim as one executable file: ``build_zipapp.py OUT``.

The same sources give the same bytes, so that an image layer or a ConfigMap changes only when the
shim does.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "jhk8s_singleuser"
SHEBANG = b"#!/usr/bin/env -S python3 -I -S\n"
MAIN = "import sys\n\nfrom jhk8s_singleuser.__main__ import main\n\nsys.exit(main())\n"
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can hold
UNIX = 3


def build_zipapp() -> bytes:
    """Pack the sources, uncompressed: a start should not wait for zlib."""
    sources = {
        f"{PACKAGE.name}/{path.name}": path.read_text(encoding="utf-8")
        for path in PACKAGE.glob("*.*")
        if path.suffix in {".py", ".sh"}
    }
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, source in sorted({**sources, "__main__.py": MAIN}.items()):
            entry = zipfile.ZipInfo(name, TIMESTAMP)
            entry.create_system = UNIX
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, source)
    return buffer.getvalue()


def main() -> int:
    """Write the file."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the script and OUT
        print("usage: build_zipapp.py OUT", file=sys.stderr)  # noqa: T201 - a script's usage
        return 2
    out = Path(sys.argv[1])
    out.write_bytes(build_zipapp())
    out.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
