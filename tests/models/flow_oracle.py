"""Holds our splines, and a flow's noise and density of copied weights, against zuko's.

usage: flow_oracle.py FLOW.safetensors    (as flow_ensemble_test.cc writes it)
"""
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

torch.set_default_dtype(torch.float64)
d = {k: v.double() if v.is_floating_point() else v for k, v in load_file(sys.argv[1]).items()}
LEAST = 1e-3


def check(name, ours, theirs, tolerance):
    error = (ours - theirs).abs().max().item()
    assert error <= tolerance, f"{name}: {error:.3g}, allowed {tolerance}"


def spline(raw):
    """zuko's, with knots and slopes as our numbers name them."""
    bins = (raw.shape[-1] + 1) // 3
    widths, heights, slopes = raw.split([bins, bins, bins - 1], -1)
    transform = MonotonicRQSTransform(widths, heights, slopes, bound=5.0)

    def knots(raw):
        return 10 * F.pad((LEAST + (1 - LEAST * bins) * raw.softmax(-1)).cumsum(-1), (1, 0)) - 5
    transform.horizontal, transform.vertical = knots(widths), knots(heights)
    transform.derivatives = F.pad(LEAST + F.softplus(slopes + torch.tensor(1 - LEAST).expm1().log()), (1, 1), value=1.0)
    return transform


transform = spline(d["raw"])
y, log_slope = transform.call_and_ladj(d["x"])
check("spline", d["spline"], y, 1e-8)
check("log slope", d["spline_log_slope"], log_slope, 1e-8)
check("inverse", d["inverse"], transform.inv(d["x"]), 1e-7)

# A flow of two members: the head's network, then the couplings', each layer's weight before its bias.
parameters, z, y = d["parameters"], d["z"], d["y"]
members, _, dim = y.shape
taken = 0


def take(*shape):
    global taken
    taken += torch.Size(shape).numel()
    return parameters[taken - torch.Size(shape).numel():taken].view(shape)


def network(x, outputs):
    widths = [x.shape[-1], *d["hidden"].tolist(), outputs]
    for layer, (before, after) in enumerate(zip(widths, widths[1:])):
        weight, bias = take(members, before, after), take(members, 1, after)
        x = (F.silu(x) if layer else x) @ weight + bias
    return x


mean, raw = network(z, 2 * dim).split([dim, dim], -1)
log_var = -10 + F.softplus(2 - F.softplus(2 - raw) + 10)
u, density = (y - mean) * torch.exp(-log_var / 2), -log_var.sum(-1) / 2
each = 3 * int(d["bins"]) - 1 if d["is_spline"] else 2
for k in range(int(d["couplings"])):
    kept, moved = d[f"kept_{k}"], d[f"moved_{k}"]
    numbers = network(torch.cat([z, u[..., kept]], -1), len(moved) * each).view(*u.shape[:-1], len(moved), each)
    if d["is_spline"]:
        value, log_slope = spline(numbers).call_and_ladj(u[..., moved])
    else:
        transform = MonotonicAffineTransform(numbers[..., 0], numbers[..., 1])
        transform.log_scale = 2 * torch.tanh(numbers[..., 1] / 2)
        transform.scale = transform.log_scale.exp()
        value, log_slope = transform.inv(u[..., moved]), -transform.log_scale
    u, density = u.index_copy(-1, moved, value), density + log_slope.sum(-1)
assert taken == len(parameters)
check("noise", d["noise"], u, 1e-8)
check("density", d["density"], density + torch.distributions.Normal(0.0, 1.0).log_prob(u).sum(-1), 1e-7)
print("ok")
