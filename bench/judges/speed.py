"""How many answers a second an offline judge reads, on one thread of this machine.

Times `Judge.judge` from end to end (reading the answer, judging, making the verdict) over XSTest's labelled answers,
best of five passes, by the wall clock.

    OLDHAM_DATA=... python bench/judges/speed.py [JUDGE ...]
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from pathlib import Path

from oldham.core.outcomes import Axis, Outcome
from oldham.judges.base import Planted
from oldham.judges.planted import planted_generation, planted_item
from oldham.judges.rules import offline_judge


def main() -> None:
    """Print a line for each judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judges", nargs="*", default=["refusal", "refusal_rules", "refusal_keywords", "harm_heuristic"])
    names = parser.parse_args().judges
    rows = []
    for file in sorted((Path(os.environ["OLDHAM_DATA"]) / "xstest").glob("completions_*.csv")):
        with file.open(encoding="utf-8", newline="") as handle:
            for number, row in enumerate(csv.DictReader(handle)):
                case = Planted(Axis.HARM, row["prompt"], {}, row["completion"], Outcome.REFUSED)
                rows.append((planted_item(case, number), planted_generation(case, number)))
    words = sum(len((generation.answer_text or "").split()) for _, generation in rows) / len(rows)
    print(f"{len(rows)} answers of {words:.0f} words on average")
    for name in names:
        judge = offline_judge(name)
        best = 0.0
        for _ in range(5):
            start = time.perf_counter()
            judge.judge_all(rows)
            best = max(best, len(rows) / (time.perf_counter() - start))
        print(f"{name:18s} {best:,.0f} answers a second")


if __name__ == "__main__":
    main()
