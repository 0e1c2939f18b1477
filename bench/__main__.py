"""`python -m bench`: the same program as the `decoder-bench` script."""

import sys

from bench.cli.main import main

sys.exit(main())
