"""Prints the distinct convolutions of well-known networks, one image each: `benches/shapes/zoo.txt` without its choices.

    python scripts/zoo.py > benches/shapes/zoo.txt && just choices

Needs torch, torchvision and timm. The weights do not matter and are not loaded.
"""

import timm
import torch
import torchvision.models as vision

NETWORKS = {
    "resnet18": (lambda: vision.resnet18(weights=None), 224),
    "resnet50": (lambda: vision.resnet50(weights=None), 224),
    "resnext50": (lambda: vision.resnext50_32x4d(weights=None), 224),
    "senet50": (lambda: timm.create_model("seresnet50"), 224),
    "sknet50": (lambda: timm.create_model("skresnext50_32x4d"), 224),
    "mobilenet1": (lambda: timm.create_model("mobilenetv1_100"), 224),
    "mobilenet2": (lambda: vision.mobilenet_v2(weights=None), 224),
    "vgg16": (lambda: vision.vgg16(weights=None), 224),
    "inception3": (lambda: vision.inception_v3(weights=None, aux_logits=False, init_weights=False), 299),
    "deeplab3": (
        lambda: vision.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None),
        257,
    ),
}
# Convolutions of small networks, in batches.
SMALL = {
    "digits": [(64, 1, 28, 28, 32, 3, 1), (64, 32, 28, 28, 32, 3, 1)],
    "cifar": [(64, 16, 32, 32, 16, 3, 1), (64, 64, 8, 8, 64, 3, 1)],
}
COLUMNS = "images channels height width filters kh kw sh sw ph pw dh dw groups".split()


def convolutions(network, size):
    """The attributes of each convolution that an image of `size` x `size` passes through."""
    found = []

    def see(conv, inputs, _):
        n, c, h, w = inputs[0].shape
        pairs = [*conv.kernel_size, *conv.stride, *conv.padding, *conv.dilation]
        found.append((n, c, h, w, conv.out_channels, *pairs, conv.groups))

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(see)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size))
    return found


def main():
    users = {}
    for name, (build, size) in NETWORKS.items():
        for conv in convolutions(build(), size):
            users.setdefault(conv, dict.fromkeys([name]))[name] = None
    for name, convs in SMALL.items():
        for n, c, h, w, filters, kernel, stride in convs:
            pairs = [kernel, kernel, stride, stride, kernel // 2, kernel // 2, 1, 1]
            users[(n, c, h, w, filters, *pairs, 1)] = {name: None}
    print("#", *COLUMNS, "networks")
    for conv, names in users.items():
        print(*conv, *names)


if __name__ == "__main__":
    main()
