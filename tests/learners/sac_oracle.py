"""Holds updates of our SAC learner against PyTorch's autograd, distributions and Adam.

usage: sac_oracle.py UPDATE0.safetensors UPDATE1.safetensors ...    (consecutive updates, as sac_learner_test.cc writes them)
"""
import sys

import torch
from safetensors.torch import load_file
from torch.distributions import Normal
from torch.distributions.transforms import TanhTransform

torch.set_default_dtype(torch.float64)
DISCOUNT, LEARNING_RATE, TARGET_ENTROPY, TAU = 0.97, 1e-3, -2.5, 0.005


def mlp(d, prefix, members):
    """Per member a list of (weight [in, out], bias [out]) leaves."""
    layers = sorted(k for k in d if k.startswith(prefix + ".weight"))
    return [[(d[k][e].double().requires_grad_(), d[k.replace("weight", "bias")][e, 0].double().requires_grad_())
             for k in layers] for e in range(members)]


def forward(layers, x):
    for i, (w, b) in enumerate(layers):
        x = torch.nn.functional.linear(x, w.t(), b)
        if i + 1 < len(layers):
            x = torch.relu(x)
    return x


def act(actor, obs, noise):
    mean, log_std = forward(actor[0], obs).chunk(2, -1)
    normal = Normal(mean, log_std.clamp(-20, 2).exp())
    u = mean + normal.scale * noise
    action = torch.tanh(u)
    log_prob = normal.log_prob(u).sum(-1) - TanhTransform().log_abs_det_jacobian(u, action).sum(-1)
    return action, log_prob


def check(name, ours, theirs, tolerance):
    scale = theirs.abs().max().clamp_min(1e-30)
    error = ((ours.double() - theirs).abs().max() / scale).item()
    assert error <= tolerance, f"{name}: {error:.3g} of the largest element, allowed {tolerance}"


def check_grads(d, name, members, tolerance=1e-5):
    for e, layers in enumerate(members):
        for i, (w, b) in enumerate(layers):
            check(f"{name} {e} weight {i}", d[f"grad.{name}.weight{i}"][e], w.grad, tolerance)
            check(f"{name} {e} bias {i}", d[f"grad.{name}.bias{i}"][e, 0], b.grad, tolerance)


adams = {}


def check_adam(d, name):
    """The step from identical gradients; moments carried from update to update."""
    for key in sorted(k for k in d if k.startswith("grad." + name)):
        rest = key[len("grad."):]
        if rest not in adams:
            p = torch.nn.Parameter(d["before." + rest].clone().float())
            adams[rest] = p, torch.optim.Adam([p], LEARNING_RATE)
        p, adam = adams[rest]
        with torch.no_grad():
            p.copy_(d["before." + rest])
        p.grad = d[key].clone().float()
        adam.step()
        check("Adam " + rest, d["after." + rest], p.detach().double(), 1e-6)


for path in sys.argv[1:]:
    d = load_file(path)
    obs, action, next_obs = d["obs"].double(), d["action"].double(), d["next_obs"].double()
    reward, terminated, weight = d["reward"].double(), d["terminated"].double(), d["weight"].double()
    alpha = d["before.log_alpha"].double().exp()
    actor, critics = mlp(d, "before.actor", 1), mlp(d, "before.critic", 2)
    targets = mlp(d, "before.target", 2)

    # Critics: the target with the old actor, old targets, old alpha.
    with torch.no_grad():
        next_action, next_log_prob = act(actor, next_obs, d["next_noise"].double())
        x = torch.cat([next_obs, next_action], -1)
        next_q = torch.minimum(forward(targets[0], x), forward(targets[1], x)).squeeze(-1)
        y = reward + DISCOUNT * (1 - terminated) * (next_q - alpha * next_log_prob)
    x = torch.cat([obs, action], -1)
    q = [forward(c, x).squeeze(-1) for c in critics]
    critic_loss = sum(0.5 * (weight * (qi - y) ** 2).mean() for qi in q)
    critic_loss.backward()
    check_grads(d, "critic", critics)
    check("critic loss", d["metric.critic_loss"], critic_loss.detach(), 1e-5)
    check("q", d["metric.q"], torch.stack(q).mean().detach(), 1e-4)
    check_adam(d, "critic")

    # Actor: through the critics as they are after their step.
    updated = mlp(d, "after.critic", 2)
    new_action, log_prob = act(actor, obs, d["noise"].double())
    x = torch.cat([obs, new_action], -1)
    actor_loss = (alpha * log_prob - torch.minimum(forward(updated[0], x), forward(updated[1], x)).squeeze(-1)).mean()
    actor_loss.backward()
    check_grads(d, "actor", actor)
    check("actor loss", d["metric.actor_loss"], actor_loss.detach(), 1e-5)
    check("entropy", d["metric.entropy"], -log_prob.mean().detach(), 1e-5)
    check_adam(d, "actor")

    # Through the critics before their step the gradient is another one: the check above can tell the order.
    stale = mlp(d, "before.critic", 2)
    wrong = mlp(d, "before.actor", 1)
    new_action, log_prob = act(wrong, obs, d["noise"].double())
    x = torch.cat([obs, new_action], -1)
    (alpha * log_prob - torch.minimum(forward(stale[0], x), forward(stale[1], x)).squeeze(-1)).mean().backward()
    first, second = wrong[0][0][0].grad, actor[0][0][0].grad
    assert (first - second).abs().max() > 1e-4 * second.abs().max(), "the order of the steps makes no difference"

    # Temperature.
    log_alpha = d["before.log_alpha"].double().requires_grad_()
    alpha_loss = -(log_alpha * (log_prob.detach() + TARGET_ENTROPY)).mean()
    alpha_loss.backward()
    check("log_alpha gradient", d["grad.log_alpha"], log_alpha.grad, 1e-5)
    check("alpha loss", d["metric.alpha_loss"], alpha_loss.detach(), 1e-5)
    check("alpha", d["metric.alpha"], alpha, 1e-6)
    check_adam(d, "log_alpha")

    # Targets follow the critics as they are after their step.
    for key in (k for k in d if k.startswith("before.target")):
        rest = key[len("before.target"):]
        expected = (1 - TAU) * d[key].double() + TAU * d["after.critic" + rest].double()
        check("target" + rest, d["after.target" + rest], expected, 1e-6)
print("ok")
