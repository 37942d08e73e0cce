"""Torchvision's ResNet-18, 34 and 50 in PyTorch, and what they answer.

The numbers that ``test_pretrained.py`` compares with, made anew by

    python tests/torch_resnet.py
"""

import json
from pathlib import Path

import torch
from drawn_weights import NUM_CLASSES, draw, draw_images, resnet_shapes
from torch import nn

EXPECTED = Path(__file__).parent / "fixtures" / "torch_resnet.json"
THIN = (8, 12, 16, 24)
CASES = [  # depth, planes, size of the image
    (18, (64, 128, 256, 512), 65),
    (18, THIN, 64),  # at which paddings of other frameworks differ
    (34, THIN, 65),
    (50, THIN, 65),
]
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
NUM_FEATURES_KEPT = 16  # evenly spaced


class Block(nn.Module):
    """Two convolutions of 3x3, or 1x1, 3x3 and 1x1, and the shortcut."""

    def __init__(self, size_in, width, size_out, stride, sizes):
        super().__init__()
        widths = [size_in] + [width] * (len(sizes) - 1) + [size_out]
        self.count = len(sizes)
        for i, k in enumerate(sizes):
            step = stride if k == 3 and 3 not in sizes[:i] else 1
            conv = nn.Conv2d(
                widths[i], widths[i + 1], k, step, padding=k // 2, bias=False
            )
            self.add_module(f"conv{i + 1}", conv)
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(widths[i + 1]))
        self.downsample = None
        if stride > 1 or size_in != size_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(size_in, size_out, 1, stride, bias=False),
                nn.BatchNorm2d(size_out),
            )

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            y = torch.relu(y) if i < self.count else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """``images [b c h w] → features [b n], logits [b a]``."""

    def __init__(self, depth, planes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, planes[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(planes[0])
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        size_in, sizes = planes[0], (1, 3, 1) if depth >= 50 else (3, 3)
        for stage, (count, width) in enumerate(
            zip(BLOCKS[depth], planes, strict=True), start=1
        ):
            size_out = width * (4 if depth >= 50 else 1)
            blocks = []
            for i in range(count):
                stride = 2 if stage > 1 and i == 0 else 1
                blocks.append(Block(size_in, width, size_out, stride, sizes))
                size_in = size_out
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(size_in, NUM_CLASSES)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        x = x.mean((2, 3))
        return x, self.fc(x)


def answer(depth, planes, size_px):
    """The features and logits of two images, in evaluation."""
    weights = draw(resnet_shapes(depth, planes))
    model = ResNet(depth, planes).eval()
    state = {name: torch.from_numpy(x) for name, x in weights.items()}
    missing, unknown = model.load_state_dict(state, strict=False)
    assert not unknown
    assert all(name.endswith("num_batches_tracked") for name in missing)
    images = torch.from_numpy(draw_images(size_px)).permute(0, 3, 1, 2)
    with torch.no_grad():
        features, logits = model(images)
    return features.numpy(), logits.numpy()


def main():
    expected = []
    for depth, planes, size_px in CASES:
        features, logits = answer(depth, planes, size_px)
        step = features.shape[1] // NUM_FEATURES_KEPT
        expected.append(
            {
                "depth": depth,
                "planes": planes,
                "size_px": size_px,
                "features_step": step,
                "features": features[:, ::step].astype(float).round(7).tolist(),
                "logits": logits.astype(float).round(7).tolist(),
            }
        )
    lines = ",\n".join(json.dumps(case) for case in expected)
    EXPECTED.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
