"""``python -m grader.load``: the load driver, started by ``grader.load.run``."""

import sys

from grader.load.driver import main  # the first import: gevent must patch before anything else

sys.exit(main())
