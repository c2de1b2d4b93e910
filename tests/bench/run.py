"""Run every benchmark, print one table, write ``build/bench.json``.

    python tests/bench/run.py [NAME...]        # bench_NAME.py; all without names

Each benchmark has a process of its own. Ends with 1 when one did not run to its end, not when a target is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import ROWS_FILE, Row, not_run, print_head, print_row

HERE = Path(__file__).parent
RESULT = HERE.parents[1] / "build" / "bench.json"


def run(names: list[str]) -> int:
    """Run the named benchmarks; return the exit status."""
    files = [HERE / f"bench_{name}.py" for name in names] or sorted(HERE.glob("bench_*.py"))
    failed: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "rows"
        for file in files:
            print(f"measuring: {file.stem}", file=sys.stderr, flush=True)
            if subprocess.run([sys.executable, file], env=os.environ | {ROWS_FILE: str(lines)}).returncode:
                failed.append(not_run(f"{file.stem}, what is missing of it", "", 0.0, "it ended early"))
        found = [Row(**json.loads(line)) for line in lines.read_text().splitlines()] if lines.exists() else []
    show(sorted(found, key=lambda row: row.name[:2]) + failed)
    return 1 if failed else 0


def show(rows: list[Row]) -> None:
    """Print the table and write the file."""
    print_head()
    for row in rows:
        print_row(row)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    aims = [row for row in rows if row.target]
    print(f"{sum(row.met for row in aims)} of {len(aims)} targets met; written to {RESULT}")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
