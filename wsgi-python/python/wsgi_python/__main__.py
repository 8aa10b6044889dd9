"""`python -m wsgi_python MODULE:NAME` is the command `wsgi-python`."""

import sys

from wsgi_python._cli import main

if __name__ == "__main__":
    sys.exit(main())
