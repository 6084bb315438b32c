"""Entry of the zipapp: ``python agent.pyz RUN ROLE [PATIENCE [SILENCE_S]]``."""

import sys

from labctl.node.agent import main

sys.exit(main(sys.argv[1:]))
