"""The `workbench` command: what is common to its verbs."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any

import click

from storage.errors import StorageError

__all__ = ["example", "group", "main"]


class _Examples(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, name: str | None, *, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        lines = "\n".join(f"  {line}" for line in examples)
        super().__init__(name, epilog=f"\b\nExamples:\n{lines}" if examples else None, **kwargs)


def example(*lines: str) -> dict[str, Any]:
    """Arguments of ``group.command`` that add examples to its help."""
    return {"cls": _Examples, "examples": lines}


class _Lazy(click.Group):
    """A group that imports a verb's module when the verb is asked for: `ls` need not wait for what draws."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULES:
            importlib.import_module(f"workbench.cli.{_MODULES[cmd_name]}")
        return super().get_command(ctx, cmd_name)


_MODULES = {
    "bound": "_bound",
    "build": "_build",
    **dict.fromkeys(("cat", "cp", "explain"), "_image"),
    **dict.fromkeys(("ls", "stat"), "_list"),
    **dict.fromkeys(("demo", "record", "replay"), "_run"),
    **dict.fromkeys(("open", "push"), "_registry"),
    "cache": "_cache",
    "mrc": "_curve",
    "trace": "_trace",
    "sweep": "_sweep",
    "validate": "_validate",
    **dict.fromkeys(("check", "inspect"), "_check"),
    **dict.fromkeys(("chunkdict", "compact", "diff", "optimize"), "_rebuild"),
    **dict.fromkeys(("convert", "merge"), "_make"),
    **dict.fromkeys(("export", "unpack"), "_unpack"),
}


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nydus-workbench")
def group() -> None:
    """See, measure and predict what lazy-loading a container image costs.

    IMAGE is a RAFS bootstrap, a blob with the bootstrap in it, or a folder that holds either.
    """


def main() -> None:
    """Run the command; what goes wrong is one line on standard error."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no verb has large matrices, and idle threads of it spin
    gc.set_threshold(10_000)  # few of the many objects that verbs make refer to themselves: looking takes time
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        status = group.main(prog_name="workbench", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except StorageError as error:
        sys.exit(_complain(str(error), 1))
    except click.ClickException as error:
        hint = f"\n  see {error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
        sys.exit(_complain(error.format_message() + hint, error.exit_code))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has enough; keep the interpreter from saying so when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    finally:
        gc.freeze()  # the process ends: no need to look once more for what refers to itself


def _complain(message: str, status: int) -> int:
    print(f"workbench: error: {message}", file=sys.stderr)
    return status
