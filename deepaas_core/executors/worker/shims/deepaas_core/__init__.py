"""Our own package, where it is not installed: what models may import of it needs the standard library only."""

import os
from pathlib import Path

_OURS = Path(os.path.abspath(__file__)).parents[4]
__path__ = [str(_OURS)]
exec(compile((_OURS / "__init__.py").read_bytes(), str(_OURS / "__init__.py"), "exec"))
