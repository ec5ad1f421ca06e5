"""`python -m tenantry_delivery images|chart`: what `make images` and `make chart` run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tenantry_delivery.artefacts import IMAGES, Base, Image, name_of, read_base
from tenantry_delivery.commits import Source
from tenantry_delivery.errors import DeliveryError
from tenantry_delivery.images import Workshop
from tenantry_delivery.registry import Registry
from tenantry_delivery.releasing import Part, Shop
from tenantry_delivery.signing import FOLDER, Signer
from tenantry_delivery.wheels import PLATFORMS

_ROOT: Final = Path(__file__).resolve().parents[4]


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit status."""
    wanted = _parser().parse_args(arguments)
    try:
        source = Source(_ROOT, wanted.commit)
        if (changed := source.uncommitted()) and wanted.commit == "HEAD":
            _say(f"{changed} uncommitted files are not in it: {source.commit[:12]} is built")
        parts = _chart(source, wanted) if wanted.what == "chart" else _images(source, wanted)
        for part in parts:  # as soon as it is there: a later one may fail
            print(json.dumps(_said(part), sort_keys=True), flush=True)
    except DeliveryError as error:
        _say(f"make {wanted.what}: {error}")
        return error.exit_code
    return 0


def _images(source: Source, wanted: argparse.Namespace) -> Iterator[Part]:
    images = _chosen(wanted.only)
    with tempfile.TemporaryDirectory(prefix="tenantry-images-") as scratch:
        workshop = Workshop(
            source=source,
            work=Path(scratch),
            platforms=_words(wanted.platforms),
            source_url=wanted.source_url,
            bases=_bases(wanted.bases),
            provider_mirror=wanted.providers,
        )
        if wanted.registry:
            with Registry(wanted.registry) as registry:
                shop = _shop(registry, wanted)
                yield from (shop.image(workshop, image) for image in images)
            return
        for image in images:
            named = name_of(source, image.name, image.inputs)
            _say(f"{named}: building for {wanted.platforms}; no REGISTRY, so it goes nowhere")
            yield Part(named, workshop.build(image, named).content.digest, is_new=True)


def _chart(source: Source, wanted: argparse.Namespace) -> Iterator[Part]:
    if not wanted.registry:
        raise DeliveryError("the chart names images of a registry: REGISTRY=…, and KEY=…")
    with Registry(wanted.registry) as registry:
        shop = _shop(registry, wanted)
        yield shop.module(source)
        yield shop.chart(source)


def _shop(registry: Registry, wanted: argparse.Namespace) -> Shop:
    if not wanted.key:
        raise DeliveryError(
            "KEY says what releases are signed with: a file of cosign's, or awskms:///alias/…"
        )
    signer = Signer.of(registry, wanted.key, _ROOT / FOLDER)
    return Shop(registry, signer, wanted.source_url, wanted.builder, _say)


def _chosen(names: str) -> tuple[Image, ...]:
    if not names:
        return IMAGES
    known = {image.name: image for image in IMAGES}
    if unknown := [name for name in _words(names) if name not in known]:
        raise DeliveryError(f"{unknown[0]} is no image of ours: {', '.join(known)}")
    return tuple(known[name] for name in _words(names))


def _words(text: str) -> tuple[str, ...]:
    """What is parted by commas, each once."""
    return tuple(dict.fromkeys(text.split(",")))


def _bases(folder: Path | None) -> dict[str, Base]:
    """What stands in a folder, in the place of what is committed."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise DeliveryError(f"BASES: {folder} is no folder")
    return {
        path.name: read_base(str(path), path.read_bytes())
        for path in sorted(folder.glob("*.json"))
    }


def _said(part: Part) -> dict[str, object]:
    return {
        "name": part.named.repository,
        "version": part.named.version,
        "digest": part.digest,
        "commit": part.named.change.commit,
        "new": part.is_new,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    env = os.environ.get
    parser = argparse.ArgumentParser(prog="tenantry_delivery", description=__doc__)
    parser.add_argument("what", choices=("images", "chart"))
    parser.add_argument("--commit", default=env("COMMIT") or "HEAD", help="what of; HEAD")
    parser.add_argument("--registry", default=env("REGISTRY"), help="where to; HOST or https://…")
    parser.add_argument("--key", default=env("KEY"), help="what it is signed with, for cosign")
    parser.add_argument("--only", default=env("ONLY"), help="names of images, by commas; all")
    parser.add_argument(
        "--platforms",
        default=env("PLATFORMS") or ",".join(PLATFORMS),
        help="of images, by commas; all that nodes may have",
    )
    parser.add_argument(
        "--providers",
        type=Path,
        default=env("PROVIDERS"),
        help="a mirror of Terraform's providers",
    )
    parser.add_argument(
        "--bases", type=Path, default=env("BASES"), help="files of bases that are used instead"
    )
    parser.add_argument(
        "--source-url",
        default=env("SOURCE_URL") or "https://gitea.example.com/platform/tenantry",
        help="of the repository, for people",
    )
    parser.add_argument(
        "--builder", default=env("BUILDER") or f"https://{platform.node()}", help="who builds"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
