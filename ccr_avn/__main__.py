"""Entry point: one error boundary around the commands."""

import os.path
import sys


def main() -> None:
    if os.path.basename(sys.argv[0]) == "avn":  # noqa: PTH119 (a link of that name to the one file that holds both)
        from aiven.client.__main__ import main as avn

        avn()
    from ccr_avn.cli.boundary import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
