"""Times whole training steps of the tree's nets here and in PyTorch, in turns on this machine, and
prints a table: images a second, milliseconds a step, peak memory, ours against theirs.

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
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
PEER = ROOT / ".deps" / "peer"
BATCHES = {"davidnet": [512, 128], "airbench94": [1024], "dawnbench": [128]}


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


def measure_ours(net, batch, arguments):
    return result_of([ROOT / "build" / "release" / "bin" / "expgraph", "bench",
                      f"graphs/pipelines/{net}.yaml", "--batch", batch,
                      "--backend", arguments.backend, "--precision", arguments.precision,
                      "--threads", arguments.threads, "--steps", arguments.steps, "--json"])


def measure_peer(net, batch, arguments, mode, cache):
    environment = dict(os.environ, PYTHONPATH=str(PEER), OMP_NUM_THREADS=str(arguments.threads),
                       TORCHINDUCTOR_CACHE_DIR=cache)
    command = [sys.executable, "-W", "ignore", TOOLS / "peer_pytorch.py", "--net", net, "--batch",
               batch, "--threads", arguments.threads, "--steps", arguments.steps,
               "--precision", arguments.precision]
    return result_of(command + ["--compile"] * (mode == "compiled"), environment)


def measure_in_turns(programs, rounds):
    """Name -> the results of each round, the programs one after another in each."""
    runs = {name: [] for name in programs}
    for _ in range(rounds):
        for name, measure in programs.items():
            runs[name].append(measure())
    return runs


def check_same_net(runs):
    counts = {name: results[0]["parameters"] for name, results in runs.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        sys.exit(f"the nets differ in parameters: {found}")


def summary(runs):
    """The first run finds no compiled kernels in a cache, the others may."""
    first = [run["first_step_done_s"] for run in runs]
    return {"ms_per_step": statistics.median(run["ms_per_step"] for run in runs),
            "images_per_second": statistics.median(run["images_per_second"] for run in runs),
            "peak_rss_bytes": max(run["peak_rss_bytes"] for run in runs),
            "first": first[0],
            "again": statistics.median(first[1:]) if len(first) > 1 else None}


def table(batch, runs):
    """Lines of one batch size; the program that is named first is ours."""
    found = {name: summary(results) for name, results in runs.items()}
    lines = []
    for name, one in found.items():
        again = "-" if one["again"] is None else f"{one['again']:.2f}"
        lines.append(f"{batch:>5}  {name:<24}{one['images_per_second']:>9.1f}"
                     f"{one['ms_per_step']:>11.1f}{one['peak_rss_bytes'] / 2**30:>11.2f}"
                     f"{one['first']:>10.2f}{again:>10}")
    ours, *peers = found
    for peer in peers:
        time, memory = [found[ours][key] / found[peer][key]
                        for key in ("ms_per_step", "peak_rss_bytes")]
        lines.append(f"       {ours} / {peer}: time {time:.2f}, images/s {1 / time:.2f}, "
                     f"memory {memory:.2f}")
    return lines


def compare(net, batch, arguments, modes, version):
    with tempfile.TemporaryDirectory() as cache:
        programs = {f"expgraph {arguments.backend}": lambda: measure_ours(net, batch, arguments)}
        for mode in modes:
            programs[f"PyTorch {version} {mode}"] = (
                lambda mode=mode: measure_peer(net, batch, arguments, mode, cache))
        runs = measure_in_turns(programs, arguments.rounds)
    check_same_net(runs)
    print("\n".join(table(batch, runs)), flush=True)


def torch_version():
    line = next(line for line in pins("libtorch").splitlines() if line.startswith("torch=="))
    return line.split("==")[1].split()[0]


def main():
    parser = argparse.ArgumentParser(prog="./dev bench --peer pytorch")
    parser.add_argument("--net", default="davidnet",
                        help=f"{', '.join(BATCHES)}, several with commas, or all")
    parser.add_argument("--batch", help="batch sizes (default: the net's)")
    parser.add_argument("--backend", default="onednn", help="ours (default: onednn)")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32",
                        help="of both; PyTorch's bf16 is autocast (default: fp32)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a run (default: 5)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns (default: 5)")
    parser.add_argument("--compile", action="store_true", help="torch.compile beside eager")
    arguments = parser.parse_args()
    nets = list(BATCHES) if arguments.net == "all" else arguments.net.split(",")
    for net in nets:
        if net not in BATCHES:
            parser.error(f"there is no net '{net}', nets are {', '.join(BATCHES)}")
    if min(arguments.rounds, arguments.steps) < 1:
        parser.error("--rounds and --steps are 1 or more")
    install_peer()

    modes = ["eager"] + ["compiled"] * arguments.compile
    version = torch_version()
    for net in nets:
        print(f"{net}, one training step, {arguments.precision}, {arguments.threads} threads: "
              f"median of {arguments.rounds} runs in turns, each the median of "
              f"{arguments.steps} steps;\n"
              "first step from the start of the process, in the first run and in those after it")
        print("batch  program                 images/s    ms/step  peak (GiB)  first (s) again (s)")
        batches = BATCHES[net]
        if arguments.batch:
            batches = [int(size) for size in arguments.batch.split(",")]
        for batch in batches:
            compare(net, batch, arguments, modes, version)


if __name__ == "__main__":
    main()
