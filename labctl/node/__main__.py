"""Entry of the zipapp: ``python agent.pyz RUN ROLE``."""

import sys

from labctl.node.agent import main

sys.exit(main(sys.argv[1:]))
