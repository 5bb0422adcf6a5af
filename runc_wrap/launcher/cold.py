"""Starts the hot path. Launched by path and so compiled at every start: the work is in modules.

Without any words it ends well once all is imported: the launcher's question whether we start.
"""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])

from runc_wrap.hotpath.main import main

main()
