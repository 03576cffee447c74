"""Entry point: one error boundary around the commands."""

import sys


def main() -> None:
    from ccr_avn.cli.boundary import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
