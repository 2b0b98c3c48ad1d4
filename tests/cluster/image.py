#!/usr/bin/env python3
"""Pack container images from directories, with no Docker.

    image.py OUT.tar REFERENCE DIRECTORY COMMAND...

writes an image of one layer as an archive that containerd imports. As a module it
also stacks layers (`pack_layer`, `pack_image`): layers are linked into the image, not
copied, and known by their content, so a registry and a node that have one skip it.
"""

import gzip
import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

ENV = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
]
MEDIA_TYPE = "application/vnd.oci.image"


def pack_layer(directory: Path, layer: Path) -> None:
    """Pack a directory as a gzipped layer."""
    partial = layer.with_name(layer.name + ".partial")
    # Level 1: a local registry gains nothing from smaller layers that take longer.
    with tarfile.open(partial, "w:gz", compresslevel=1) as tar:
        tar.add(directory, arcname=".")
    partial.rename(layer)


def pack_image(
    layout: Path, reference: str, layers: list[Path], config: Mapping[str, object]
) -> None:
    """Stack layers, lowest first, into an image: an OCI image layout.

    `reference` is fully qualified, for example docker.io/local/lab:1; `config` has the
    fields of the OCI image configuration's object of that name: Cmd, User and so on.
    """
    if layout.exists():
        shutil.rmtree(layout)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def descriptor(kind: str, digest: str) -> dict[str, object]:
        size = (blobs / digest).stat().st_size
        return {"mediaType": f"{MEDIA_TYPE}.{kind}", "digest": f"sha256:{digest}", "size": size}

    def blob(kind: str, document: dict[str, object]) -> dict[str, object]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return descriptor(kind, digest)

    stack = []
    diff_ids = []
    for layer in layers:
        with layer.open("rb") as packed, gzip.open(packed) as unpacked:
            diff_ids.append("sha256:" + hashlib.file_digest(unpacked, "sha256").hexdigest())
            packed.seek(0)
            digest = hashlib.file_digest(packed, "sha256").hexdigest()
        os.link(layer, blobs / digest)
        stack.append(descriptor("layer.v1.tar+gzip", digest))
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Env": ENV, "WorkingDir": "/", **config},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA_TYPE}.manifest.v1+json",
        "config": blob("config.v1+json", image),
        "layers": stack,
    }
    # containerd names an imported image by this annotation.
    annotations = {"io.containerd.image.name": reference}
    entry = blob("manifest.v1+json", manifest) | {"annotations": annotations}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _main(out: str, reference: str, directory: str, *command: str) -> None:
    with tempfile.TemporaryDirectory(dir=Path(out).parent) as work:
        layer, layout = Path(work, "layer"), Path(work, "image")
        pack_layer(Path(directory), layer)
        pack_image(layout, reference, [layer], {"Cmd": command})
        with tarfile.open(out, "w") as tar:
            tar.add(layout, arcname=".")


if __name__ == "__main__":
    _main(*sys.argv[1:])
