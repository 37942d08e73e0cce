"""The one exception that is meant for people, and how they see its text."""


class UserError(Exception):
    """Bad input or a refused request: what is wrong, where, and what to do.

    ``gzjax.main`` prints the message without a traceback and exits with code 2.
    """


def plain(text: str) -> str:
    """The text without what would steer a terminal, as in the name of a file.

    Such characters are written as in Python, ``\\x1b``; ends of lines stay.
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
