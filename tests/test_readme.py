"""Every command and every example of the README runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.config import parse_config
from storage.image.build import build, directory_tree
from workbench.trace import library_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Iterator[Path]:
    """Where the README's commands run: with a small demo image of a few real modules."""
    place = tmp_path_factory.mktemp("readme")
    library = Path(library_folder())
    root = directory_tree(library, {path.name for path in library.iterdir()} - {"json", "re", "enum.py", "lib-dynload"})
    build(root, place / "demo" / "image")
    (place / "program.py").write_text("import json; json.dumps([1])")
    yield place


def run(command: str, folder: Path) -> None:
    """Run a command as the shell would, in the folder."""
    words = shlex.split(command)
    assert words[0] == "workbench"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-c", "from workbench.cli import main; main()", *words[1:]]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert done.stdout


@pytest.mark.slow
def test_commands(folder: Path, tree: Path) -> None:
    """Each line of the shell examples ends well and says something, one after the other."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("workbench")]
    assert len(commands) == 16
    for command in commands:
        # What the examples take from the machine is replaced by something small.
        command = command.replace("/usr/share/doc", str(tree))
        command = command.replace("record --image", f"record {folder / 'program.py'} --image")
        run(command, folder)


def test_make_targets() -> None:
    """What the README says of make is in the Makefile."""
    targets = re.findall(r"`?make (\w+)", README)
    assert set(targets) == {"bench", "demo", "test"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_configurations() -> None:
    """Each configuration is one, with no key that is unknown."""
    examples = blocks("toml")
    assert len(examples) == 1
    for example in examples:
        assert parse_config(example, strict=True).backend is not None


@pytest.mark.slow
def test_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python example runs as it stands, in a folder with a demo in it."""
    monkeypatch.chdir(folder)
    examples = blocks("python")
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


def test_pictures_are_there() -> None:
    """Each picture that the README shows is in the repository."""
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) == 2
    assert all((ROOT / picture).is_file() for picture in pictures)
