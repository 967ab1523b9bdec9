"""`python -m liqlab.cli`."""

import sys

from liqlab.cli import main

sys.exit(main())
