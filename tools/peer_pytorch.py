"""DavidNet's training step in PyTorch -> its time and memory, as a line of JSON.

The same step as graphs/pipelines/davidnet.yaml: crop, flip and cutout of padded samples, forward,
mean cross-entropy, backward, SGD with Nesterov momentum and weight decay; fp32, channels-last.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
import torch.nn.functional as F

PADDED, SIZE, CUTOUT = 40, 32, 8


def conv_bn_relu(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch = nn.Sequential(conv_bn_relu(channels, channels),
                                    conv_bn_relu(channels, channels))

    def forward(self, x):
        return x + self.branch(x)


class Classifier(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(channels, 10, bias=False)

    def forward(self, x):
        return 0.125 * self.linear(F.max_pool2d(x, 4).flatten(1))


def davidnet(width):
    return nn.Sequential(
        conv_bn_relu(3, width),
        conv_bn_relu(width, 2 * width), nn.MaxPool2d(2), Residual(2 * width),
        conv_bn_relu(2 * width, 4 * width), nn.MaxPool2d(2),
        conv_bn_relu(4 * width, 8 * width), nn.MaxPool2d(2), Residual(8 * width),
        Classifier(8 * width))


def augment(samples, index):
    """Crops, flips and cuts samples [N, 40, 40, 3] at the index, with one gather."""
    n = len(index)
    rows = torch.randint(PADDED - SIZE + 1, (n, 1)) + torch.arange(SIZE)
    columns = torch.randint(PADDED - SIZE + 1, (n, 1)) + torch.arange(SIZE)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    images = samples[index[:, None, None], rows[:, :, None], columns[:, None, :]]
    place = torch.arange(SIZE)
    inside = [(place >= first) & (place < first + CUTOUT)
              for first in torch.randint(SIZE - CUTOUT + 1, (2, n, 1))]
    images.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :])[..., None], 0)
    return images.permute(0, 3, 1, 2)  # channels-last in memory


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    net = davidnet(arguments.width).to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in net.parameters())
    run = torch.compile(net) if arguments.compile else net
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True,
                                weight_decay=5e-4, fused=True)
    count = max(2048, arguments.batch)
    samples = torch.randn(count, PADDED, PADDED, 3)
    labels = torch.randint(10, (count,))

    def step():
        start = time.perf_counter()
        index = torch.randperm(count)[:arguments.batch]
        loss = F.cross_entropy(run(augment(samples, index)), labels[index])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        assert torch.isfinite(loss)
        return time.perf_counter() - start

    first = step()
    seconds = statistics.median(step() for _ in range(arguments.steps))
    print(json.dumps({
        "torch": torch.__version__,
        "parameters": parameters,
        "first_step_s": first,
        "ms_per_step": 1e3 * seconds,
        "images_per_second": arguments.batch / seconds,
        "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }))


if __name__ == "__main__":
    main()
