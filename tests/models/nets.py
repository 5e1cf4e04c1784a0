"""Networks and files for these tests, written from the papers and independent of the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AuthorsChannelGate(nn.Module):
    """Shared MLP on flattened poolings; logits add; sigmoid (CBAM, eq. 2)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        total = self.mlp(nn.functional.avg_pool2d(x, size)) + self.mlp(
            nn.functional.max_pool2d(x, size)
        )
        return x * torch.sigmoid(total)[:, :, None, None].expand_as(x)


class AuthorsConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1, eps=1e-5, momentum=0.01, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class AuthorsSpatialGate(nn.Module):
    """Its two descriptors come as [max, mean]."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = AuthorsConv()

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.stack([x.max(1).values, x.mean(1)], 1)
        return x * torch.sigmoid(self.spatial(pooled))


class AuthorsCbam(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = AuthorsChannelGate(channels)
        self.SpatialGate = AuthorsSpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class Block(nn.Module):
    """A residual block; `attention` gates its output before the shortcut is added."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool, kind: str) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.bottleneck, self.kind = bottleneck, kind
        if kind == "authors":
            self.cbam = AuthorsCbam(outputs)
        elif kind == "ca_sa":
            self.ca, self.sa = ChannelAttention(outputs), SpatialAttention()
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(y.relu()))
        if self.kind == "authors":
            y = self.cbam(y)
        elif self.kind == "ca_sa":
            y = self.ca(y) * y
            y = self.sa(y) * y
        return (y + shortcut).relu()


class ChannelAttention(nn.Module):
    """As in luuuyi/CBAM.PyTorch."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = (x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True))
        return torch.sigmoid(sum(self.fc2(self.fc1(part).relu()) for part in pooled))


class SpatialAttention(nn.Module):
    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(
            self.conv1(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
        )


class ResNet(nn.Module):
    """The ImageNet ResNet of the authors' repository, pooling 7 x 7 as theirs does."""

    def __init__(
        self, depths: tuple[int, ...], *, bottleneck: bool, kind: str, classes: int = 10
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, depth in enumerate(depths):
            blocks = []
            for index in range(depth):
                stride = 2 if stage and not index else 1
                blocks.append(Block(inputs, 64 * 2**stage, stride, bottleneck, kind))
                inputs = 64 * 2**stage * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AvgPool2d(7)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(self.avgpool(x).flatten(1))


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every tensor values as after training, so that no gate is constant.

    Normalisations get the statistics of two random pictures: without them a deep random network
    amplifies rounding errors until nothing can be compared.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator)

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.copy_(noise(module.weight) * (2 / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    module.bias.copy_(0.3 * noise(module.bias))
        for norm in norms:
            norm.weight.copy_(0.5 + 0.2 * noise(norm.weight).abs())
            norm.bias.copy_(0.2 * noise(norm.bias))
            norm.momentum = None
        model.train()(torch.randn(2, 3, 224, 224, generator=generator))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()
