"""Holds minibatches of our probabilistic ensemble against PyTorch's autograd and Adam.

usage: ensemble_oracle.py STEP0.safetensors STEP1.safetensors ...    (consecutive steps, as gaussian_ensemble_test.cc writes them)
"""
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

torch.set_default_dtype(torch.float64)
DECAY, LEARNING_RATE = [1e-2, 2e-2, 3e-2], 3e-3


def check(name, ours, theirs, tolerance):
    error = ((ours.double() - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)).item()
    assert error <= tolerance, f"{name}: {error:.3g} of the largest element, allowed {tolerance}"


adams = {}
for path in sys.argv[1:]:
    d = load_file(path)
    p = {k[len("before."):]: d[k].double().requires_grad_() for k in d if k.startswith("before.")}
    loss = 0.01 * (p["max"].sum() - p["min"].sum())
    for e in range(d["inputs"].shape[0]):
        x = d["inputs"][e].double()
        for layer in range(3):
            x = F.linear(x, p[f"weight{layer}"][e].t(), p[f"bias{layer}"][e, 0])
            x = F.silu(x) if layer < 2 else x
        mean, raw = x.chunk(2, -1)
        log_var = p["max"] - F.softplus(p["max"] - raw)
        log_var = p["min"] + F.softplus(log_var - p["min"])
        loss = loss + ((mean - d["targets"][e].double()) ** 2 * torch.exp(-log_var) + log_var).mean()
    loss.backward()
    check("loss", d["loss"], loss.detach(), 1e-5)
    for name, leaf in p.items():
        check("gradient of " + name, d["grad." + name], leaf.grad, 1e-5)
        if name not in adams:
            q = torch.nn.Parameter(d["before." + name].clone().float())
            decay = DECAY[int(name[-1])] if name.startswith("weight") else 0
            adams[name] = q, torch.optim.Adam([q], LEARNING_RATE, weight_decay=decay)
        q, adam = adams[name]
        q.grad = d["grad." + name].clone().float()
        adam.step()
        check("Adam on " + name, d["after." + name], q.detach().double(), 1e-6)
print("ok")
