"""`python -m oldham` is `oldham`."""

from __future__ import annotations

from oldham.cli import main

if __name__ == "__main__":
    main()
