"""`python -m pipelines.console --help`."""

import sys

from pipelines.console.cli import main

sys.exit(main())
