"""The one exception that means "your input is wrong", as opposed to "the program is wrong".

The command line prints it as a single sentence without a traceback; library users catch it.
"""


class InputError(Exception):
    """A file, a configuration value or a request that cannot be used.

    The message is one sentence for a person: what is wrong, where (path, key, line), and what was expected.

    Attributes:
      exit_status: of the command line.
    """

    exit_status = 2


class UnavailableError(InputError):
    """A tool that is not installed, or a download that cannot be reached."""

    exit_status = 3
