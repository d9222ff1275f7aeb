"""Holds the loss and the gradients of our network with dropout against autograd in Python.

usage: dropout_oracle.py STEP.safetensors    (as dropout_network_test.cc writes it)
"""
import math
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

torch.set_default_dtype(torch.float64)
d = load_file(sys.argv[1])
LEARNED, ROWS, SCALE = bool(d["learned"]), d["rows"].item(), d["length_scale"].item()
LEAST, MOST = -10, 2


def check(name, ours, theirs, tolerance):
    error = ((ours.double() - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)).item()
    assert error <= tolerance, f"{name}: {error:.3g} of the largest element, allowed {tolerance}"


p = {k[len("before."):]: d[k].double().requires_grad_() for k in d if k.startswith("before.")}
logits = p["logits"].flatten()
layers = (len(p) - 1) // 2
dim = d["targets"].shape[-1]
x, u = d["inputs"][0].double(), d["u"][0].double()
penalty = 0
for layer in range(layers):
    weight = p[f"weight{layer}"][0]
    if layer > 0:
        rate = torch.sigmoid(logits[layer - 1])
        own, u = u.split([weight.shape[0], u.shape[1] - weight.shape[0]], -1)
        dropped = (own < rate).double()
        if LEARNED:  # the relaxed mask's gradient alone
            relaxed = torch.sigmoid((torch.logit(rate) - torch.logit(own, 1e-7)) / 0.1)
            dropped = dropped + relaxed - relaxed.detach()
        x = F.silu(x) * (1 - dropped) / (1 - rate)
        entropy = -(rate * rate.log() + (1 - rate) * (1 - rate).log())
        penalty = penalty + SCALE ** 2 * weight.square().sum() / (2 * (1 - rate)) - weight.shape[0] * entropy
    else:
        penalty = penalty + SCALE ** 2 * weight.square().sum() / 2
    x = F.linear(x, weight.t(), p[f"bias{layer}"][0, 0])
mean, raw = x.split([dim, dim], -1)
log_var = LEAST + F.softplus(MOST - F.softplus(MOST - raw) - LEAST)
nll = -torch.distributions.Normal(mean, torch.exp(log_var / 2)).log_prob(d["targets"][0].double()).sum(-1).mean()
loss = nll + penalty / ROWS
loss.backward()
check("loss", d["loss"], loss.detach(), 1e-5)
for name, leaf in p.items():
    if name == "logits" and not LEARNED:
        assert d["grad.logits"].abs().max() == 0
        continue
    check("gradient of " + name, d["grad." + name], leaf.grad, 1e-4)
print("ok")
