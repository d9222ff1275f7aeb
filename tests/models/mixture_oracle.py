"""Holds the loss and the gradients of our mixture density networks against torch.distributions and autograd.

usage: mixture_oracle.py STEP.safetensors    (as mixture_ensemble_test.cc writes it)
"""
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

torch.set_default_dtype(torch.float64)
d = load_file(sys.argv[1])
COMPONENTS = int(d["components"].item())
LEAST, MOST = -10, 2


def check(name, ours, theirs, tolerance):
    error = ((ours.double() - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)).item()
    assert error <= tolerance, f"{name}: {error:.3g} of the largest element, allowed {tolerance}"


p = {k[len("before."):]: d[k].double().requires_grad_() for k in d if k.startswith("before.")}
layers = len(p) // 2
loss = 0
dim = d["targets"].shape[-1]
for e in range(d["inputs"].shape[0]):
    x = d["inputs"][e].double()
    for layer in range(layers):
        x = F.linear(x, p[f"weight{layer}"][e].t(), p[f"bias{layer}"][e, 0])
        x = F.silu(x) if layer < layers - 1 else x
    logits, mean, raw = x.split([COMPONENTS, COMPONENTS * dim, COMPONENTS * dim], -1)
    mean, raw = mean.unflatten(-1, (COMPONENTS, dim)), raw.unflatten(-1, (COMPONENTS, dim))
    log_var = LEAST + F.softplus(MOST - F.softplus(MOST - raw) - LEAST)
    mixture = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(mean, torch.exp(log_var / 2)), 1))
    loss = loss - mixture.log_prob(d["targets"][e].double()).mean() / dim
loss.backward()
check("loss", d["loss"], loss.detach(), 1e-5)
for name, leaf in p.items():
    check("gradient of " + name, d["grad." + name], leaf.grad, 2e-5)
print("ok")
