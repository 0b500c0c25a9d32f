# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the cases in Python find the library and the runtime of this build, or of the one that is
compared."""

import os
import sys
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent.parent
LIBRARY = os.environ.get('AFORK_LIBRARY_FOLDER', str(BUILD / 'afork'))
_build = Path(LIBRARY).parent
_script = os.path.realpath(_build / 'introspection' / 'python' / 'afork-server.py')
PATH = [str(Path(_script).parent), str(_build / 'introspection' / 'python')]

# For programs and workers.
ENVIRON = {'GI_TYPELIB_PATH': str(_build / 'introspection'), 'LD_LIBRARY_PATH': LIBRARY,
           'PYTHONPATH': os.pathsep.join(PATH)}


def load():
    """Returns the module AFork."""
    sys.path[:0] = PATH

    import gi

    gi.require_version('GIRepository', '2.0')
    from gi.repository import GIRepository

    GIRepository.Repository.prepend_search_path(ENVIRON['GI_TYPELIB_PATH'])
    GIRepository.Repository.prepend_library_path(LIBRARY)
    os.environ.update(ENVIRON)
    gi.require_version('AFork', '1')
    from gi.repository import AFork

    return AFork
