"""Nothing is lost: trainings disturbed at random moments, and run again.

    python benchmarks/faults.py --faults=200 --seed=0 --output=faults.json
    python benchmarks/faults.py --kinds=disk_full,flipped_byte --faults=20

Every fault disturbs a real training process of its own on drawn galaxies. The same
command is then run again: it must end bit for bit as the undisturbed training did
(parameters, optimiser, predictions, metrics), or say in one message what is to be
done, and end so once it is done. The newest intact checkpoint must be found, no process
may outlive its trainer, and no file may be half-written. Exit code 1 if it is not so.

What is not done here: cutting the power (a file system may then lose what was written
before; the digests would notice); the clock of other languages than Python (time.time
is faked); faults of network disks. The disk is "full" by a limit on the size of files.
"""

import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**33),
}
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fault_injection import Ground, Trial
from fault_kinds import FAULTS
from fault_verdict import EXACT, MESSAGE, Verdict, judge


def try_fault(ground: Ground, folder: Path, index: int, seed: int, kinds) -> Verdict:
    """The ``index``-th fault of a suite; its folder is kept if all is not well."""
    fault = kinds[index % len(kinds)]
    name = f"{seed}-{index}-{fault.__name__}"
    trial = Trial(ground, folder / name, random.Random(name))
    verdict = judge(trial, fault, name)
    if not verdict.problems and not verdict.orphans:
        shutil.rmtree(trial.folder)
    return verdict


def print_table(verdicts: list[Verdict]) -> None:
    """A row per kind, and the sum."""
    columns = ["injected", EXACT, MESSAGE, "bad", "orphans"]
    print(f"{'fault':<22}" + "".join(f"{name:>11}" for name in columns))
    kinds = list(dict.fromkeys(verdict.kind for verdict in verdicts))
    for kind in [*kinds, "all"]:
        of_kind = [v for v in verdicts if kind in (v.kind, "all")]
        good = [v.outcome for v in of_kind if not v.problems]
        counts = [
            len(of_kind),
            good.count(EXACT),
            good.count(MESSAGE),
            len(of_kind) - len(good),
            sum(v.orphans for v in of_kind),
        ]
        print(f"{kind:<22}" + "".join(f"{count:>11}" for count in counts))


def main() -> int:
    """Injects the faults, prints the table, returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=200, help="how many (200)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--kinds", default="", help="names, with commas; all")
    parser.add_argument("--jobs", type=int, default=2, help="at a time (2)")
    parser.add_argument("--output", type=Path, help="a JSON file of all verdicts")
    parser.add_argument("--folder", type=Path, help="keeps bad trials (a temporary)")
    args = parser.parse_args()
    names = args.kinds.split(",") if args.kinds else []
    kinds = [fault for fault in FAULTS if not names or fault.__name__ in names]
    folder = args.folder or Path(tempfile.mkdtemp(prefix="gzjax-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))
    begun = time.monotonic()
    (folder / "undisturbed").mkdir()
    ground = Ground(folder / "undisturbed")
    print(f"undisturbed: {ground.seconds:.1f} s", flush=True)
    verdicts = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        tried = [
            pool.submit(try_fault, ground, folder, index, args.seed, kinds)
            for index in range(args.faults)
        ]
        for done in concurrent.futures.as_completed(tried):
            verdict = done.result()
            verdicts.append(verdict)
            bad = verdict.problems or verdict.orphans
            outcome = "BAD" if bad else verdict.outcome
            print(f"{verdict.seed}: {verdict.what} → {verdict.code}: {outcome}")
            print("".join(f"    {p}\n" for p in verdict.problems), end="", flush=True)
    print_table(verdicts)
    bad = [v for v in verdicts if v.problems or v.orphans]
    seconds = time.monotonic() - begun
    print(f"{len(verdicts)} faults in {seconds:.0f} s: {len(bad)} bad")
    if args.output:
        by_seed = sorted(verdicts, key=lambda verdict: verdict.seed)
        content = {
            "date": datetime.date.today().isoformat(),
            "machine": platform.platform(),
            "seed": args.seed,
            "seconds": seconds,
            "bad": len(bad),
            "faults": [dataclasses.asdict(verdict) for verdict in by_seed],
        }
        args.output.write_text(json.dumps(content, indent=2) + "\n")
    if not bad and not args.folder:
        shutil.rmtree(folder)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
