"""`python -m pipelines.redrive --help`."""

import sys

from pipelines.redrive.cli import main

sys.exit(main())
