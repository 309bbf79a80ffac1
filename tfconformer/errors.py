"""The exceptions that mean "the input is wrong", as opposed to "the program is wrong".

`InputError` is for what a person provides: a file, a value of a configuration, a command-line argument, a corpus, a
tool that has to be installed. Its message is a sentence for that person; the command line prints it without a
traceback, and users of the library catch it.

`ValueError` (and `TypeError`) is for what a program provides: an argument that contradicts the docstring of a function,
such as a tensor of another shape, a length beyond the padding or a token id outside the vocabulary. It is a mistake in
the calling code and ends with a traceback. Two kinds of functions raise `ValueError` about input, and their caller,
which knows the file, turns it into an `InputError`: validators of a configuration, as pydantic demands, and parsers and
decoders of bytes.
"""

_LONGEST = 1000  # characters of a message that is printed


class InputError(Exception):
    """Input that cannot be used: a file, a value of a configuration, a command-line argument.

    The message is one sentence for a person: what is wrong, where (path, key, line), and what was expected.

    Attributes:
      exit_status: exit status of the command line for this error.
    """

    exit_status = 2


class UnavailableError(InputError):
    """A tool that is not installed, or a download that cannot be reached."""

    exit_status = 3


def one_line(error: Exception | str) -> str:
    """Returns a message, for example that of another library's exception, on one line."""
    return " ".join(str(error).split())


def printed(error: Exception | str) -> str:
    """Returns a message as the command line prints it: on one line, without the middle of a text that it quotes."""
    line = one_line(error).encode("utf-8", "backslashreplace").decode("utf-8")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
