"""`python -m advisor` is `sft-advisor`."""

import sys

from advisor.cli import main

sys.exit(main())
