"""The command line: parse, call, print. One command (or a few of one topic) a file, each with ``register(app)``."""


def main() -> int:
    """Run the command line and return its exit code (entry point ``ionsieve``)."""
    from ionsieve.cli.app import run

    return run()
