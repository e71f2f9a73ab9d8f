"""The entry point: the group of commands, and the exit code of each exception."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

from alignc import __version__
from alignc.cli.show import show_diagnostics
from alignc.contract.exits import ENVIRONMENT, FAILED, FINDINGS, INTERRUPTED, USAGE
from alignc.diagnostics import Diagnostic, DiagnosticError, Span

__all__ = ["main"]

COMMANDS = {
    "init": "write a first spec for your data",
    "validate": "check specs without opening data or models",
    "explain": "print the loss of a spec",
    "diff": "compare the meaning of two specs",
    "verify": "test the claims about a loss by enumeration",
    "plan": "estimate memory, steps and work of a job before a model is loaded",
    "compile": "write the training job of a spec",
    "run": "train one spec after another",
    "data": "show how rows become tokens",
    "report": "write a page with the curves, settings and rollouts of runs",
    "eval": "evaluate runs on their held-out rows, or compare models",
    "export": "write a trained model into a folder that `from_pretrained` reads",
    "doctor": "check this machine, and list the missing needs of a spec",
    "presets": "list the presets, or print one preset",
    "describe": "print the documentation of a field of the spec",
    "schema": "print the JSON Schema of specs",
    "rule": "explain the code of a diagnostic",
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
        """Find the command; for an unknown name, raise an error that suggests a similar name."""
        from alignc.diagnostics import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            guess = did_you_mean(args[0], COMMANDS)
            hint = f"did you mean `{guess}`?" if guess else f"the commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command `{args[0]}`; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="alignc")
def group() -> None:
    """Compile an alignment objective from a YAML spec into a checked training job, and run the job."""


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
    """Choose the exit code from the groups of the codes: environment (6), runs (8) or other findings."""
    groups = {d.code[1] for d in diagnostics if d.severity == "error"}
    return FAILED if "8" in groups else ENVIRONMENT if groups == {"6"} else FINDINGS


def refused(error: OSError) -> int:
    """Report an operation that the file system refused."""
    show_diagnostics([Diagnostic("E608", f"{error.strerror}", Span.at(str(error.filename)))])
    return ENVIRONMENT


def internal(error: Exception) -> int:
    """Report a bug of alignc in one line, or a Failure of the runtime."""
    if hasattr(error, "as_dict") and hasattr(error, "exit_code"):
        from alignc.cli.show import show_failure

        show_failure(error)
        return int(error.exit_code)
    click.echo(f"alignc: internal error, please report it: {type(error).__name__}: {error}", err=True)
    if os.environ.get("ALIGNC_TRACEBACK"):
        traceback.print_exception(error)
    else:
        click.echo("set ALIGNC_TRACEBACK=1 to see the traceback", err=True)
    return USAGE
