"""From a file to checked text: its size, its encoding and its characters."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from alignc.diagnostics.lines import Positions
from alignc.diagnostics.model import Diagnostic, DiagnosticError, Span

LARGEST = 1 << 20
"""The largest number of bytes of a spec."""

_SHOWN = 20
_BOM = "\ufeff"
# The complement of the printable characters of YAML 1.2 (production c-printable), plus the byte order mark.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def read_text(path: str | Path) -> str:
    """Read a spec as text without its byte order mark.

    Raises DiagnosticError: E008 if the file does not exist, E001 if it cannot be read.
    """
    return decode(_read_bytes(path), str(path))


def decode(data: bytes, file: str) -> str:
    """Decode UTF-8; raises DiagnosticError (E001) at the first invalid byte."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _unreadable(Span.at(file), "the file is UTF-16, not UTF-8", "save the file as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8").removeprefix(_BOM)
        span = Positions(file, before + "?").span(len(before), len(before) + 1)
        message = f"the byte 0x{data[error.start]:02X} is not valid UTF-8"
        raise _unreadable(span, message, "save the file as UTF-8") from None


def checked(text: str, file: str) -> str:
    """Return `text` without its byte order mark; raises DiagnosticError (E001) for its size or characters."""
    text = text.removeprefix(_BOM)
    _check_size(len(text.encode("utf-8", "surrogatepass")), file)
    found = list(islice(_FORBIDDEN.finditer(text), _SHOWN))
    if found:
        where = Positions(file, text)
        raise DiagnosticError(_character(where.span(*match.span()), match.group()) for match in found)
    return text


def _read_bytes(path: str | Path) -> bytes:
    file = str(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST + len(_BOM.encode()) + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(file, f"there is no file `{file}`") from None
    except IsADirectoryError:
        raise _missing(file, f"`{file}` is a folder, not a file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"`{file}` cannot be opened: {reason}"
        raise _unreadable(Span.at(file), message, "check the name and the permissions of the file") from None
    _check_size(len(data.removeprefix(_BOM.encode())), file)
    return data


def _check_size(size: int, file: str) -> None:
    if size > LARGEST:
        help_ = "a spec has at most 1 MiB; put data into a separate file, and name the file in `data.source`"
        raise _unreadable(Span.at(file), "the spec is larger than 1 MiB", help_)


def _character(span: Span, character: str) -> Diagnostic:
    if character == _BOM:
        message = "a byte order mark (U+FEFF) is inside the text"
    else:
        message = f"the character U+{ord(character):04X} is not allowed in YAML"
    help_ = 'delete the character, or write it as an escape in double quotes, such as "\\u0007"'
    return Diagnostic("E001", message, span, help=help_)


def _unreadable(span: Span, message: str, help_: str) -> DiagnosticError:
    return DiagnosticError(Diagnostic("E001", message, span, help=help_))


def _missing(file: str, message: str) -> DiagnosticError:
    return DiagnosticError(Diagnostic("E008", message, Span.at(file)))


__all__ = ["LARGEST", "checked", "decode", "read_text"]
