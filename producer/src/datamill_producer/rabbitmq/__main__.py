"""`python -m datamill_producer.rabbitmq install`: see to it that there is a RabbitMQ server."""

from __future__ import annotations

import sys

from datamill_producer.rabbitmq.errors import NoRabbitMQ
from datamill_producer.rabbitmq.install import ensure_installation

EXIT_USAGE = 2
EXIT_NO_RABBITMQ = 69
"""There is no server and none could be provided (sysexits.h: EX_UNAVAILABLE)."""


def main(arguments: list[str]) -> int:
    """Run the one command; return the exit code."""
    if arguments != ["install"]:
        print("usage: python -m datamill_producer.rabbitmq install", file=sys.stderr)
        return EXIT_USAGE
    try:
        installation = ensure_installation(lambda line: print(line, flush=True))
    except NoRabbitMQ as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_NO_RABBITMQ
    print(f"RabbitMQ: {installation.scripts}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
