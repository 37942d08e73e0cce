"""A config file for subprocesses: the network of one convolution of tests/tiny.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tiny import make_plain_config


def get_config():
    """Learns with dropout, a norm with running statistics, and a head's warm-up."""
    return make_plain_config()
