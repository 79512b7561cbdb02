"""The nets of the tree in PyTorch, each with the rest of its training step: the peers of
graphs/pipelines/NAME.yaml. fp32; channels-last; nothing is computed that the step does not need.

A training has a `net`, its `optimiser`, `images(index)` (augmented, from samples that lie ready),
`loss(logits, labels)` and `after(step)` for what follows an update.
"""

import torch
from torch import nn
import torch.nn.functional as F

SIZE = 32  # of an image


def starts(count, free):
    """A random place in 0..free for each image, [N, 1]."""
    return torch.randint(free + 1, (count, 1))


def gather(samples, index, rows, columns):
    """Those rows and columns of samples [N, H, W, C] -> images, channels-last in memory."""
    images = samples[index[:, None, None], rows[:, :, None], columns[:, None, :]]
    return images.permute(0, 3, 1, 2)


def mirrored(columns, mask):
    return torch.where(mask, columns.flip(1), columns)


class Training:
    def __init__(self, net):
        self.net = net.to(memory_format=torch.channels_last)

    def sgd(self, groups, **options):
        return torch.optim.SGD(groups, nesterov=True, fused=True, **options)

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels)

    def after(self, step):
        pass


# DavidNet


def conv(inputs, outputs, **options):
    return nn.Conv2d(inputs, outputs, **{"kernel_size": 3, "padding": 1, "bias": False, **options})


def conv_bn_relu(inputs, outputs):
    return nn.Sequential(conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.branch = nn.Sequential(conv_bn_relu(channels, channels),
                                    conv_bn_relu(channels, channels))

    def forward(self, x):
        return x + self.branch(x)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class DavidNet(Training):
    """Crop, flip and cutout of padded samples."""

    PADDED, CUTOUT = 40, 8

    def __init__(self, count, width=64):
        super().__init__(nn.Sequential(
            conv_bn_relu(3, width),
            conv_bn_relu(width, 2 * width), nn.MaxPool2d(2), Residual(2 * width),
            conv_bn_relu(2 * width, 4 * width), nn.MaxPool2d(2),
            conv_bn_relu(4 * width, 8 * width), nn.MaxPool2d(2), Residual(8 * width),
            nn.MaxPool2d(4), nn.Flatten(), nn.Linear(8 * width, 10, bias=False), Scale(0.125)))
        self.optimiser = self.sgd(self.net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.samples = torch.randn(count, self.PADDED, self.PADDED, 3)

    def images(self, index):
        n, place = len(index), torch.arange(SIZE)
        columns = starts(n, self.PADDED - SIZE) + place
        columns = mirrored(columns, torch.rand(n, 1) < 0.5)
        images = gather(self.samples, index, starts(n, self.PADDED - SIZE) + place, columns)
        rows, columns = [(place >= first) & (place < first + self.CUTOUT)
                         for first in (starts(n, SIZE - self.CUTOUT) for _ in range(2))]
        box = rows[:, :, None] & columns[:, None, :]
        return images.masked_fill_(box[:, None], 0)


# airbench94 (Jordan, 2024, arXiv 2404.00498)


def bias_norm(channels):
    """Batch norm with a bias and no scale."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.register_parameter("weight", None)
    return norm


def group(inputs, outputs):
    return nn.Sequential(conv(inputs, outputs), nn.MaxPool2d(2), bias_norm(outputs), nn.GELU(),
                         conv(outputs, outputs), bias_norm(outputs), nn.GELU())


class Airbench94(Training):
    """Translation of samples padded by two; flips that alternate between epochs; biases of norms
    with a learning rate of their own; lookahead every five steps."""

    PADDED, EVERY = 36, 5

    def __init__(self, count, width=64):
        super().__init__(nn.Sequential(
            conv(3, 24, kernel_size=2, padding=0, bias=True), nn.GELU(),
            group(24, width), group(width, 4 * width), group(4 * width, 4 * width),
            nn.MaxPool2d(3), nn.Flatten(), nn.Linear(4 * width, 10, bias=False), Scale(1 / 9)))
        self.net[0].weight.requires_grad_(False)  # whitening
        lr, decay = 1e-4, 2e-6  # a step's and what it takes from a parameter
        norms = [m.bias for m in self.net.modules() if isinstance(m, nn.BatchNorm2d)]
        trained = [p for p in self.net.parameters() if p.requires_grad]
        rest = [p for p in trained if all(p is not bias for bias in norms)]
        self.optimiser = self.sgd(
            [{"params": norms, "lr": 64 * lr, "weight_decay": decay / (64 * lr)},
             {"params": rest, "lr": lr, "weight_decay": decay / lr}], momentum=0.85)
        self.fast = [p.data for p in trained] + [b for b in self.net.buffers()
                                                 if b.is_floating_point()]
        self.slow = [value.clone() for value in self.fast]
        self.samples = torch.randn(count, self.PADDED, self.PADDED, 3)
        self.flips = torch.rand(count, 1) < 0.5  # in even epochs

    def images(self, index):
        n, place = len(index), torch.arange(SIZE)
        rows, columns = [starts(n, self.PADDED - SIZE) + place for _ in range(2)]
        return gather(self.samples, index, rows, mirrored(columns, self.flips[index]))

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels, label_smoothing=0.2, reduction="sum")

    def after(self, step):
        if step % self.EVERY == 0:
            torch._foreach_lerp_(self.slow, self.fast, 0.5)
            torch._foreach_copy_(self.fast, self.slow)


# The DAWNBench baseline


class Identity(nn.Module):
    """Pre-activation; the shortcut leaves after the first ReLU."""

    def __init__(self, channels):
        super().__init__()
        self.start = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.branch = nn.Sequential(conv_bn_relu(channels, channels), conv(channels, channels))

    def forward(self, x):
        x = self.start(x)
        return self.branch(x).add_(x)


class Projection(nn.Module):
    """The same where height and width are halved."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.start = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
        self.shortcut = conv(inputs, outputs, kernel_size=1, padding=0, stride=2)
        self.branch = nn.Sequential(conv(inputs, outputs, stride=2), nn.BatchNorm2d(outputs),
                                    nn.ReLU(inplace=True), conv(outputs, outputs))

    def forward(self, x):
        x = self.start(x)
        return self.branch(x).add_(self.shortcut(x))


class BothPools(nn.Module):
    def forward(self, x):
        return torch.cat([F.max_pool2d(x, 4), F.avg_pool2d(x, 4)], 1).flatten(1)


class DawnBench(Training):
    """All but decoding is done for every batch: bytes are normalised, padded (by reflection, as
    places to read from), cropped, flipped."""

    PAD = 4

    def __init__(self, count, width=64):
        stages = [(width, 2 * width), (2 * width, 4 * width), (4 * width, 4 * width)]
        super().__init__(nn.Sequential(
            conv_bn_relu(3, width), Identity(width), Identity(width),
            *[nn.Sequential(Projection(a, b), Identity(b)) for a, b in stages],
            BothPools(), nn.Linear(8 * width, 10)))
        self.optimiser = self.sgd(self.net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        self.samples = torch.randint(256, (count, SIZE, SIZE, 3), dtype=torch.uint8)
        self.mean = torch.tensor([125.31, 122.95, 113.87]).view(3, 1, 1)
        self.factor = 1 / torch.tensor([62.99, 62.09, 66.70]).view(3, 1, 1)

    def images(self, index):
        n, place = len(index), torch.arange(SIZE)
        rows, columns = [starts(n, 2 * self.PAD) - self.PAD + place for _ in range(2)]
        columns = mirrored(columns, torch.rand(n, 1) < 0.5)
        rows, columns = [(SIZE - 1) - ((SIZE - 1) - at.abs()).abs() for at in (rows, columns)]
        images = gather(self.samples, index, rows, columns).float()
        return images.sub_(self.mean).mul_(self.factor)


TRAININGS = {"davidnet": DavidNet, "airbench94": Airbench94, "dawnbench": DawnBench}
