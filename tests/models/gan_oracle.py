"""Holds the critic's loss and its gradient by the critic's parameters against autograd's.

usage: gan_oracle.py GAN.safetensors    (as gan_ensemble_test.cc writes it)
"""
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

torch.set_default_dtype(torch.float64)
d = {k: v.double() for k, v in load_file(sys.argv[1]).items()}
parameters = d["parameters"].requires_grad_()
members, rows, targets = d["y"].shape


def critic(member, z, y):
    """Of one row, with its member's weights."""
    x, taken = torch.cat([z, y]), 0
    widths = [len(x), *(int(h) for h in d["hidden"]), 1]
    for layer, (before, after) in enumerate(zip(widths, widths[1:])):
        weight = parameters[taken:taken + members * before * after].view(members, before, after)[member]
        taken += members * before * after
        bias = parameters[taken:taken + members * after].view(members, after)[member]
        taken += members * after
        x = (F.silu(x) if layer else x) @ weight + bias
    return x[0]


losses = []
for e in range(members):
    sum = 0
    for row in range(rows):
        z, y, drawn, share = (d[name][e, row] for name in ("z", "y", "drawn", "share"))
        slope = torch.func.grad(lambda u: critic(e, z, u))(share * y + (1 - share) * drawn)
        sum = sum + critic(e, z, drawn) - critic(e, z, y) + d["penalty"] * (slope[d["varying"] > 0].norm() - 1) ** 2
    losses.append(sum / rows)
loss = torch.stack(losses)
error = (loss - d["loss"]).abs().max().item()
assert error < 1e-5 * loss.abs().max().item(), f"loss: {error:.3g}"
gradient, = torch.autograd.grad(loss.sum(), parameters)
error = (gradient - d["gradient"]).abs().max().item()
assert error < 1e-4 * gradient.abs().max().item(), f"gradient: {error:.3g}"
