"""Times DavidNet's whole training step here and in PyTorch, in turns on this machine, and prints
one table: images a second, milliseconds a step, peak memory, and ours against theirs.

PyTorch is installed into .deps/peer on first use, from requirements.txt.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
PEER = ROOT / ".deps" / "peer"


def pins(*sections):
    """The lines of these sections of requirements.txt."""
    lines, inside = [], False
    for line in (ROOT / "requirements.txt").read_text().splitlines(keepends=True):
        if line.startswith("## "):
            inside = line[3:].split(":")[0].strip() in sections
        elif inside:
            lines.append(line)
    return "".join(lines)


def install_peer():
    wanted = pins("libtorch", "peer")
    stamp = PEER / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"the peer is pinned for Python 3.11, this is {sys.version.split()[0]}")
    print("installing PyTorch into .deps/peer (550 MB to fetch)", file=sys.stderr)
    shutil.rmtree(PEER, ignore_errors=True)
    PEER.mkdir(parents=True)
    requirements = PEER / "requirements.txt"
    requirements.write_text(wanted)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes",
                    "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check",
                    "--target", str(PEER), "-r", str(requirements)],
                   check=True, stdout=sys.stderr)
    subprocess.run([sys.executable, str(TOOLS / "peer_stand_ins.py"), str(PEER / "torch" / "lib"),
                    str(PEER / "nvidia" / "cu13" / "lib")], check=True)
    stamp.write_text(wanted)


def result_of(command, environment=None):
    """The JSON that a command prints; its other output goes to stderr."""
    done = subprocess.run([str(part) for part in command], env=environment, cwd=ROOT,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def measure_ours(batch, arguments):
    return result_of([ROOT / "build" / "release" / "bin" / "expgraph", "bench",
                      "graphs/pipelines/davidnet.yaml", "--batch", batch,
                      "--backend", arguments.backend,
                      "--threads", arguments.threads, "--steps", arguments.steps, "--json"])


def measure_peer(batch, arguments):
    environment = dict(os.environ, PYTHONPATH=str(PEER), OMP_NUM_THREADS=str(arguments.threads))
    command = [sys.executable, "-W", "ignore", TOOLS / "peer_pytorch.py", "--batch", batch,
               "--threads", arguments.threads, "--steps", arguments.steps]
    return result_of(command + ["--compile"] * arguments.compile, environment)


def summary(runs):
    return {"ms_per_step": statistics.median(run["ms_per_step"] for run in runs),
            "images_per_second": statistics.median(run["images_per_second"] for run in runs),
            "peak_rss_bytes": max(run["peak_rss_bytes"] for run in runs),
            "first_step_s": statistics.median(run["first_step_s"] for run in runs)}


def row(batch, name, found):
    return (f"{batch:>5}  {name:<24}{found['images_per_second']:>9.1f}"
            f"{found['ms_per_step']:>11.1f}{found['peak_rss_bytes'] / 2**30:>11.2f}"
            f"{found['first_step_s']:>10.2f}")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench --peer pytorch")
    parser.add_argument("--batch", default="512,128", help="batch sizes (default: 512,128)")
    parser.add_argument("--backend", default="onednn", help="ours (default: onednn)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a run (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns (default: 3)")
    parser.add_argument("--compile", action="store_true", help="PyTorch's compiler, not eager")
    arguments = parser.parse_args()
    install_peer()

    print(f"DavidNet, one training step, fp32, {arguments.threads} threads: median of "
          f"{arguments.rounds} runs, each the median of {arguments.steps} steps")
    print("batch  program                 images/s    ms/step  peak (GiB)  first (s)")
    for batch in [int(size) for size in arguments.batch.split(",")]:
        ours, peer = [], []
        for _ in range(arguments.rounds):
            ours.append(measure_ours(batch, arguments))
            peer.append(measure_peer(batch, arguments))
        if ours[0]["parameters"] != peer[0]["parameters"]:
            sys.exit(f"the nets differ: {ours[0]['parameters']} and {peer[0]['parameters']} "
                     "parameters")
        here, there = summary(ours), summary(peer)
        mode = "compiled" if arguments.compile else "eager"
        print(row(batch, f"expgraph {arguments.backend}", here))
        print(row(batch, f"PyTorch {peer[0]['torch'].split('+')[0]} {mode}", there))
        print(f"       expgraph / PyTorch: time {here['ms_per_step'] / there['ms_per_step']:.2f}, "
              f"memory {here['peak_rss_bytes'] / there['peak_rss_bytes']:.2f}", flush=True)


if __name__ == "__main__":
    main()
