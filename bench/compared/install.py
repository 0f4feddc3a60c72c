"""Put EleutherAI's harness beside the project's environment, for the benchmarks that compare against it.

It goes into `bench/.compared`, which is not tracked, and only benchmarks that set `PYTHONPATH` see it. Nothing that it
depends on is installed: what its transformers model imports is in the environment already, in the versions that the
project is measured with, and the rest serves tasks and metrics.

    python bench/compared/install.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / ".compared"
CONSTRAINTS = HERE.parents[1] / "constraints.txt"
CHECK = "import torch, lm_eval; from lm_eval.models.huggingface import HFLM; print(lm_eval.__file__, torch.__file__)"


def main() -> None:
    """Install, and see that it can be imported without a network."""
    shutil.rmtree(TARGET, ignore_errors=True)
    wanted = ["-r", str(HERE / "requirements.txt"), "-c", str(CONSTRAINTS), "--target", str(TARGET)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", *wanted], check=True
    )
    brought = [path.name for path in TARGET.glob("*.dist-info")]
    if len(brought) != 1:
        raise SystemExit(f"more than the harness was installed: {brought}")
    environment = {**os.environ, "PYTHONPATH": str(TARGET), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", CHECK], check=True, env=environment)


if __name__ == "__main__":
    main()
