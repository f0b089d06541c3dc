"""Two programs, asked in turn: what every comparison here shares.

A side is a process that reads one request a line, as JSON, does what it says once, and answers with one line:
`{"seconds": …, "value": …, "peak_mib": …}`. Sides are asked alternately, so that whatever else the machine does
falls on all of them alike; the median of each is what counts.
"""
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Keeps freed memory, as a careful user of PyTorch would set it; glibc gives it back by default.
TUNED = dict(MALLOC_MMAP_THRESHOLD_="8589934592", MALLOC_TRIM_THRESHOLD_="17179869184", MALLOC_TOP_PAD_="268435456")


class Side:
    """One program, held open."""

    def __init__(self, command, **environment):
        # Some machines pin OpenBLAS to an old kernel for the sake of old builds; a fair peer runs without.
        env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        env.update(OMP_NUM_THREADS="2", RAYON_NUM_THREADS="2", CANDLE_NUM_THREADS="2", **environment)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.answers = []

    def ask(self, request, count=True):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("one side ended early; its message is above")
        answer = json.loads(line)
        if count:
            self.answers.append(answer)
        return answer

    def seconds(self):
        return statistics.median(answer["seconds"] for answer in self.answers)

    def peak(self):
        return self.answers[-1]["peak_mib"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def ours(*method):
    """Our side: the program `peer`, perhaps with another method of convolutions than it would choose."""
    binary = Path(os.environ.get("SCONCE_PEER", ROOT / "target/release/peer"))
    if not binary.exists():
        sys.exit("build our side first: cargo build --release --workspace --bins")
    # The program `sconce` tells its allocator so itself.
    return Side([str(binary), *method], MIMALLOC_PURGE_DELAY="-1")


def peer(script, **environment):
    """A side in Python, from its text."""
    return Side([sys.executable, "-c", script], **environment)


# Threads of OpenMP go on spinning for some milliseconds after their work is done, in the way of whoever is next.
PAUSE = 0.02


def interleave(sides, requests, runs):
    """Asks each side, in turn, for its request, `runs` times after one that is not counted."""
    for side, request in zip(sides, requests):
        side.answers.clear()
        side.ask(request, count=False)
    for _ in range(runs):
        for side, request in zip(sides, requests):
            time.sleep(PAUSE)
            side.ask(request)


def geomean(values):
    return statistics.geometric_mean(values)


def machine():
    """The processor, in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    field = lambda name: next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
    flags = field("flags").split()
    level = "AMX" if "amx_bf16" in flags else "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "?"
    gpu = os.environ.get("SCONCE_GPU", "")
    return f"{field('model name') or 'unknown'}, {level}, {os.cpu_count()} cores{gpu and ', ' + gpu}"


def commit():
    if "SCONCE_COMMIT" in os.environ:  # where there is no repository
        return os.environ["SCONCE_COMMIT"]
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def record(path, command, rows, summary):
    """Stores a table with where it comes from."""
    told = dict(command=command, commit=commit(), machine=machine(), rows=rows, summary=summary)
    path.write_text(json.dumps(told, indent=1) + "\n")
