"""The user's own code (`--model`) inside this program: what it prints, what it sees, how it ends.

Results on standard output are read by scripts, so nothing else may get there; and the command's
options are no business of a module that reads options itself when it is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import click

from cbam_viz._foreign import exits_told, place_of
from cbam_viz._text import named
from cbam_viz.cli.text import RESULTS
from cbam_viz.errors import ModelError

_ARGUMENTS = f"{__name__}.arguments"


@contextmanager
def own_code(factory: str) -> Iterator[None]:
    """Keep the code of `MODULE:FACTORY` apart from the command for as long as it may run.

    What it prints goes to standard error: from Python, from C, from processes that it starts, and
    until this program ends. Only `cbam_viz.cli.text.say` reaches standard output. In `sys.argv` it
    sees its own name alone.

    Raises:
        ModelError: it ended the program, and nothing nearer to the call has said where.
    """
    name = factory.rpartition(":")[0]
    meta = click.get_current_context().meta
    arguments, stdout = sys.argv, sys.stdout
    results = _moved_aside(stdout)
    meta[RESULTS], meta[_ARGUMENTS] = results, tuple(arguments[1:])
    sys.argv, sys.stdout = [name], sys.stderr
    try:
        with exits_told():
            yield
    except SystemExit as stop:
        from cbam_viz.models.code import ended_the_program

        raise ModelError(ended_the_program(name, stop, "while the network was in use")) from stop
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # a class that only the user's own code can have raised
        raise ModelError(
            f"{name} raised {named(error)} while the network was in use.{place_of(error)}"
        ) from error
    finally:
        sys.argv, sys.stdout = arguments, stdout
        if results is not stdout:
            with suppress(OSError):  # a reader that left early
                results.close()


def command_line() -> tuple[str, ...]:
    """Return the arguments that this program was started with, which `sys.argv` may not show."""
    context = click.get_current_context(silent=True)
    found = context.meta.get(_ARGUMENTS) if context is not None else None
    return tuple(sys.argv[1:]) if found is None else found


def _moved_aside(stdout: TextIO) -> TextIO:
    """Return a stream to where standard output went, and let its descriptor go to standard error.

    Where standard output is not this process's own (in a notebook, in tests), it is returned as it
    is: what lies beneath it belongs to others.
    """
    if stdout is None or stdout is not sys.__stdout__:
        return stdout
    try:
        stdout.flush()
        copy = os.dup(stdout.fileno())
        os.dup2(sys.stderr.fileno(), stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return stdout
    return os.fdopen(copy, "w", encoding=stdout.encoding, errors=stdout.errors)
