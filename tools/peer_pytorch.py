"""A net's training step in PyTorch -> its time and memory, as a line of JSON."""

import argparse
import json
import os
import statistics
import time

import torch

from peer_nets import TRAININGS

WARM_UP = 3  # steps, the first among them


def process_age():
    """Seconds since this process started, to a hundredth."""
    with open("/proc/self/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = int(fields[19])  # since boot
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_resident_bytes():
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", choices=TRAININGS, default="davidnet")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    count = 4 * arguments.batch
    training = TRAININGS[arguments.net](count)
    run = torch.compile(training.net) if arguments.compile else training.net
    labels = torch.randint(10, (count,))

    def step(number):
        start = time.perf_counter()
        index = torch.randperm(count)[:arguments.batch]
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            loss = training.loss(run(training.images(index)), labels[index])
        training.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        training.optimiser.step()
        training.after(number)
        assert torch.isfinite(loss)
        return time.perf_counter() - start

    step(1)
    first_done = process_age()
    for number in range(2, WARM_UP + 1):
        step(number)
    seconds = statistics.median(step(WARM_UP + k + 1) for k in range(arguments.steps))
    print(json.dumps({
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in training.net.parameters()),
        "first_step_done_s": first_done,
        "ms_per_step": 1e3 * seconds,
        "images_per_second": arguments.batch / seconds,
        "peak_rss_bytes": peak_resident_bytes(),
    }))


if __name__ == "__main__":
    main()
