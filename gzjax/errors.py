"""The one exception that is meant for people."""


class UserError(Exception):
    """Bad input or a refused request: what is wrong, where, and what to do.

    ``gzjax.main`` prints the message without a traceback and exits with code 2.
    """
