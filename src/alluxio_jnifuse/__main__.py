"""`python -m alluxio_jnifuse` is the command `alluxio-jnifuse`."""

import sys

from alluxio_jnifuse.cli import main

if __name__ == "__main__":
    sys.exit(main())
