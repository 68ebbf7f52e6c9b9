"""What a user can cause and mend."""


class InputError(Exception):
    """Bad usage or bad input: one sentence that names the file or option at fault and what to do about it.

    The command line prints the sentence without a traceback and exits with code 2.
    """
