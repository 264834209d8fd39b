"""Verbs that speak with registries: open, push."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from storage.backend.http import HttpOptions
from storage.errors import ConfigError
from storage.image import open_image
from storage.oci import parse_reference, pull, push
from workbench.cli._arguments import json_option
from workbench.cli._blobs import load
from workbench.cli._main import example, group

__all__: list[str] = []

_Command = Callable[..., Any]


def _registry_options(command: _Command) -> _Command:
    for option in (
        click.option("--ca", "ca", multiple=True, metavar="FILE", help="PEM file of an authority to trust too."),
        click.option("--insecure", is_flag=True, help="Do not verify certificates; http where there is no TLS."),
        click.option("--plain-http", is_flag=True, help="Speak http."),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="Configuration whose backend registry says how to speak to it; its host and repo are not looked at.",
        ),
    ):
        command = option(command)
    return command


def _how(ca: tuple[str, ...], insecure: bool, plain_http: bool, config: Path | None) -> dict[str, Any]:
    """Settings of the registry."""
    if config is None:
        return {"scheme": "http" if plain_http else "", "http": HttpOptions(ca_cert_files=ca, skip_verify=insecure)}
    if ca or insecure or plain_http:
        raise click.UsageError("--config says how to speak: leave out --ca, --insecure and --plain-http")
    from storage.openers import registry_options

    backend = load(config).backend
    if backend is None or backend.registry is None:
        raise ConfigError("has no backend registry", path=config, field="backend.registry")
    settings = vars(registry_options(backend.registry))
    return {key: value for key, value in settings.items() if key not in ("host", "repo")}


@group.command(
    "open",
    **example(
        "workbench open registry.example.com/app:v1 && workbench ls app",
        "workbench open 127.0.0.1:5000/app:v1 -o image && workbench cat image /etc/os-release",
    ),
)
@click.argument("reference", metavar="REGISTRY/REPO:TAG")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder to make; by default named as the repository."
)
@_registry_options
@json_option
def open_command(
    reference: str,
    out: Path | None,
    ca: tuple[str, ...],
    insecure: bool,
    plain_http: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Open a nydus image in a registry: fetch its bootstrap, and leave its blobs to be read lazily.

    The folder that it makes is an IMAGE for all other verbs. Credentials are those of docker, or of IMAGE_PULL_AUTH.
    """
    folder = out or Path(parse_reference(reference).repo.rpartition("/")[2])
    pulled = pull(reference, folder, **_how(ca, insecure, plain_http, config))
    image = open_image(pulled.folder)
    files = len(image.paths()[0])
    if as_json:
        facts = {"reference": str(pulled.reference), "folder": str(folder), "paths": files}
        print(json.dumps({**facts, "fetched": pulled.fetched, "layers": pulled.layers}))
        return
    print(
        f"{folder}: {pulled.reference.host}/{pulled.reference.repo} with {files:,} paths; "
        f"{pulled.fetched / 1e6:,.2f} MB fetched of {pulled.layers / 1e6:,.2f} MB"
    )


@group.command("push", **example("workbench push layout registry.example.com/app:v1"))
@click.argument("layout", metavar="LAYOUT", type=click.Path(path_type=Path))
@click.argument("reference", metavar="REGISTRY/REPO:TAG")
@_registry_options
@json_option
def push_command(
    layout: Path,
    reference: str,
    ca: tuple[str, ...],
    insecure: bool,
    plain_http: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Push the image of an OCI layout to a registry; blobs that it has are not sent again."""
    pushed = push(layout, reference, progress=True, **_how(ca, insecure, plain_http, config))
    if as_json:
        print(json.dumps({"reference": str(pushed.reference), "blobs": pushed.blobs, "sent": pushed.sent}))
        return
    print(f"{pushed.reference}: {pushed.blobs} blobs, {pushed.sent / 1e6:,.2f} MB sent")
