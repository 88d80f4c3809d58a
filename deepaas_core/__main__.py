"""``python -m deepaas_core`` is the command ``deepaas-core``."""

import sys

from deepaas_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
