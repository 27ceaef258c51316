"""`python -m pipelines.migrate --help`."""

import sys

from pipelines.migrate.cli import main

sys.exit(main())
