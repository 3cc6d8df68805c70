"""`python -m advisor` is `sft-advisor`."""

import sys

from advisor.commands.cli import main

sys.exit(main())
