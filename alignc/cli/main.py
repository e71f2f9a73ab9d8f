"""The entry: the group of commands, and what becomes of every exception."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

from alignc import __version__
from alignc.cli.codes import ENVIRONMENT, FAILED, FINDINGS, INTERRUPTED, USAGE
from alignc.cli.show import show_diagnostics
from alignc.diagnostics import Diagnostic, DiagnosticError, Span

__all__ = ["main"]

COMMANDS = {
    "init": "write a first spec for given data",
    "validate": "check specs, without data or models",
    "explain": "print the loss that a spec means",
    "diff": "compare what two specs mean",
    "verify": "test by enumeration what a loss is said to do",
    "plan": "say what a job will take, before a model is loaded",
    "compile": "write the training job of a spec",
    "run": "train, one spec after another",
    "data": "show how rows become tokens",
    "report": "draw the curves of runs, with their settings and rollouts",
    "eval": "evaluate runs on their held-out rows, or compare models",
    "export": "write a trained model as a folder that `from_pretrained` reads",
    "doctor": "say what this machine can do, and what a spec lacks",
    "presets": "list the methods, or print one",
    "describe": "say what a field of the spec is",
    "schema": "print the JSON Schema of specs",
    "rule": "say what a diagnostic's code means",
}


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"alignc.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        from alignc.diagnostics import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            guess = did_you_mean(args[0], COMMANDS)
            hint = f"did you mean `{guess}`?" if guess else f"commands: {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command `{args[0]}`; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="alignc")
def group() -> None:
    """Compile alignment objectives: from a YAML spec to an explained, checked and running training job."""


def main() -> None:
    """Run the command line and exit with its code; no traceback reaches the user."""
    try:
        code = group.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = USAGE
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except DiagnosticError as error:
        show_diagnostics(error.diagnostics)
        code = exit_code(error.diagnostics)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        code = refused(error) if error.filename else internal(error)
    except Exception as error:
        code = internal(error)
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(diagnostics: tuple[Diagnostic, ...]) -> int:
    """Choose the exit code: the environment's and the run's own findings have theirs."""
    groups = {d.code[1] for d in diagnostics if d.severity == "error"}
    return FAILED if "8" in groups else ENVIRONMENT if groups == {"6"} else FINDINGS


def refused(error: OSError) -> int:
    """Report what the file system would not do."""
    show_diagnostics([Diagnostic("E608", f"{error.strerror}", Span.at(str(error.filename)))])
    return ENVIRONMENT


def internal(error: Exception) -> int:
    """Report a bug of ours, or a runtime Failure, in one line."""
    if hasattr(error, "as_dict") and hasattr(error, "exit_code"):
        from alignc.cli.show import show_failure

        show_failure(error)
        return int(error.exit_code)
    click.echo(f"alignc: internal error, please report it: {type(error).__name__}: {error}", err=True)
    if os.environ.get("ALIGNC_TRACEBACK"):
        traceback.print_exception(error)
    else:
        click.echo("ALIGNC_TRACEBACK=1 shows where", err=True)
    return USAGE
