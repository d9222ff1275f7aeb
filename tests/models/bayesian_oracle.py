"""Holds the loss of our Bayesian network, its divergence and their gradients against autograd in Python.

usage: bayesian_oracle.py STEP.safetensors    (as bayesian_network_test.cc writes it)
"""
import math
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.distributions import Independent, Normal, kl_divergence

torch.set_default_dtype(torch.float64)
d = load_file(sys.argv[1])
SAMPLES, ALPHA, SCALE, FLIPOUT = int(d["samples"]), d["alpha"].item(), d["prior_scale"].item(), bool(d["flipout"])
LEAST, MOST = -10, 2


def check(name, ours, theirs, tolerance):
    error = ((ours.double() - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30)).item()
    assert error <= tolerance, f"{name}: {error:.3g} of the largest element, allowed {tolerance}"


p = {k[len("before."):]: d[k].double().requires_grad_() for k in d if k.startswith("before.")}
layers = sum(k.startswith("mean") for k in p) // 2
inputs, targets = d["inputs"][0].double(), d["targets"][0].double()
rows = inputs.shape[0]
noise = {k[len("noise."):]: d[k].double() for k in d if k.startswith("noise.")}
divergence = 0
predicted = []
for sample in range(SAMPLES):
    h = inputs
    units = seen = weights = 0
    for layer in range(layers):
        weight, bias = (Normal(p[f"mean{i}"][0], F.softplus(p[f"spread{i}"])[0]) for i in (2 * layer, 2 * layer + 1))
        fan_in, out = weight.mean.shape
        if sample == 0:
            prior = Normal(torch.tensor(0.0), torch.tensor(SCALE / math.sqrt(fan_in)))
            divergence = divergence + sum(kl_divergence(q, prior).sum() for q in (weight, bias))
        if layer > 0:
            h = F.silu(h)
        mine = slice(sample * rows, (sample + 1) * rows)
        if FLIPOUT:
            # Each row on its own, with its own signed copy of the weights.
            def take(like):
                global weights
                weights += like.numel()
                return noise["normal"][weights - like.numel():weights].view(like.shape)
            weight_noise, bias_noise = take(weight.mean), take(bias.mean)
            r = noise["input_signs"][0, mine, seen:seen + fan_in]
            t = noise["unit_signs"][0, mine, units:units + out]
            own_weight = weight.mean + weight.stddev * weight_noise * r[:, :, None] * t[:, None, :]
            own_bias = bias.mean + bias.stddev * bias_noise * t[:, None, :]
            h = (h[:, None, :] @ own_weight + own_bias)[:, 0]
        else:
            eps = noise["normal"][0, mine, units:units + out]
            h = h @ weight.mean + bias.mean + torch.sqrt(h ** 2 @ weight.variance + bias.variance) * eps
        seen, units = seen + fan_in, units + out
    predicted.append(h)
raw = p["raw_log_var"]
log_var = LEAST + F.softplus(MOST - F.softplus(MOST - raw) - LEAST)
likelihood = torch.stack([Independent(Normal(h, torch.exp(log_var[0] / 2).expand_as(h)), 1).log_prob(targets) for h in predicted])
if ALPHA > 0:
    nll = -(torch.logsumexp(ALPHA * likelihood, 0) - math.log(SAMPLES)).mean() / ALPHA
else:
    nll = -likelihood.mean()
check("nll", d["nll"], nll.detach(), 1e-5)
check("kl", d["kl"], divergence.detach(), 1e-5)
(nll + 0.01 * divergence).backward()
for name, leaf in p.items():
    check("gradient of " + name, d["grad." + name], leaf.grad, 2e-4)
print("ok")
