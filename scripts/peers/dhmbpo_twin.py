"""Time DHMBPO's update and its model's minibatch written in PyTorch, as a careful user of it would, at Hopper-v5's sizes.

usage: dhmbpo_twin.py [cuda]     Prints a JSON line for each of 1 and 2 threads, or for the GPU, eager and compiled: updates
and minibatches per second. The work is that of src/learners/value_gradient_learner.cc and
src/models/homoscedastic_ensemble.cc: five imagined steps forwards and backwards, five critics with their targets, actor,
alpha; and eight members on 2048 rows. The settings are the published ones (Kubo et al. 2025). Compiled is the update's
networks and the whole loss of a minibatch by torch.compile, where it works.
"""
import json
import math
import sys
import time
import warnings

import torch
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
OBS, ACT, HORIZON, BATCH, MEMBERS, CRITICS, DISCOUNT = 11, 3, 5, 256, 8, 5, 0.995
UPDATES, MINIBATCHES = 20, 4
CUDA = sys.argv[1:] == ["cuda"]
if CUDA:
    torch.set_default_device("cuda")
    torch.set_float32_matmul_precision("highest")
    UPDATES, MINIBATCHES = 200, 200


class BatchedLinear(nn.Module):
    def __init__(self, members, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, inputs, outputs) * math.sqrt(2 / inputs))
        self.bias = nn.Parameter(torch.randn(members, 1, outputs) / (2 * math.sqrt(inputs)))

    def forward(self, x):
        return torch.baddbmm(self.bias, x, self.weight)


class Networks(nn.Module):
    def __init__(self, members, widths, epsilon, dropout):
        super().__init__()
        self.members, self.epsilon, self.dropout = members, epsilon, dropout
        self.layers = nn.ModuleList(BatchedLinear(members, a, b) for a, b in zip(widths, widths[1:]))

    def forward(self, x, train=False):
        h = x if x.dim() == 3 else x.expand(self.members, -1, -1)
        for i, (layer, epsilon, dropout) in enumerate(zip(self.layers, self.epsilon, self.dropout)):
            if epsilon:
                h = F.layer_norm(h, h.shape[-1:], eps=epsilon)
            h = layer(h)
            if train and dropout:
                h = F.dropout(h, dropout, True)
            if i + 1 < len(self.layers):
                h = F.silu(h)
        return h


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Networks(MEMBERS, [OBS + ACT, 256, 256, 256, OBS + 1], [0, 1.0, 0.1, 0.01], [0.0075, 0.005, 0.0025, 0])
        self.log_std = nn.Parameter(torch.zeros(MEMBERS, 1, OBS + 1))

    def step(self, obs, action):
        order = torch.randperm(BATCH)
        dealt = torch.cat([obs, action], 1)[order].view(MEMBERS, BATCH // MEMBERS, -1)
        mean = self.net(dealt)
        change = mean[..., :OBS] + self.log_std[..., :OBS].exp() * torch.randn(MEMBERS, BATCH // MEMBERS, OBS)
        back = torch.argsort(order)
        return obs + change.flatten(0, 1)[back], mean[..., OBS].flatten()[back]

    def loss(self, inputs, targets, weights):
        mean = self.net(inputs, train=True)
        error = 0.5 * (mean - targets).square() * torch.exp(-2 * self.log_std) + self.log_std.clamp(min=math.log(1e-3))
        return (error.sum(-1) * weights).sum(0).mean()


class Learner:
    def __init__(self, wrap):
        self.model = Model()
        self.actor = Networks(1, [OBS, 256, 256, 256, 2 * ACT], [0] * 4, [0] * 4)
        critic = lambda: Networks(CRITICS, [OBS + ACT, 256, 256, 256, 1], [0, 1e-5, 1e-5, 1e-5], [1e-3, 1e-3, 1e-3, 0])
        self.critics, self.targets = critic(), critic()
        self.log_alpha = nn.Parameter(torch.tensor(math.log(0.1)))
        self.critic_adam = torch.optim.Adam(self.critics.parameters(), 3e-4)
        self.actor_adam = torch.optim.Adam([*self.actor.parameters(), self.log_alpha], 3e-4)
        self.bounds = torch.tensor([-1.0, 1.0])
        self.quantiles = torch.tensor([0.01, 0.99])
        self.model.net, self.actor_net = wrap(self.model.net), wrap(self.actor)
        self.critic_net, self.target_net = wrap(self.critics), wrap(self.targets)

    def act(self, obs):
        mean, raw = self.actor_net(obs)[0].chunk(2, -1)
        std = F.softplus(raw) + 1e-5
        noise = torch.randn_like(mean)
        u = mean + std * noise
        density = -0.5 * noise.square() - std.log() - 0.5 * math.log(2 * math.pi)
        return torch.tanh(u), (density - 2 * (math.log(2) - u - F.softplus(-2 * u))).sum(-1)

    def q(self, net, obs, action, train):
        center, width = (self.bounds[1] + self.bounds[0]) / 2, (self.bounds[1] - self.bounds[0]) / 2
        return net(torch.cat([obs, action], 1), train).squeeze(-1) * width + center

    def update(self, start):
        obs, alive, discount = start, torch.ones(BATCH), 1.0
        alpha = self.log_alpha.detach().exp()
        rewards, log_probs, weights, actions = [], [], [], []
        for _ in range(HORIZON):
            action, log_prob = self.act(obs)
            after, reward = self.model.step(obs, action)
            rewards.append(reward), log_probs.append(log_prob), actions.append(action), weights.append(discount * alive)
            # Hopper's own rule.
            healthy = (after[:, 1:].abs() < 100).all(1) & (after[:, 0] > 0.7) & (after[:, 1].abs() < 0.2)
            alive, discount, obs = alive * healthy, discount * DISCOUNT, after
        last_action, last_log_prob = self.act(obs)
        weight = discount * alive
        with torch.no_grad():
            soft = [r - alpha * p for r, p in zip(rewards, log_probs)]
            self.bounds.lerp_(torch.quantile(torch.cat(soft), self.quantiles) / (1 - DISCOUNT), 3e-4)
            drawn = torch.randperm(CRITICS)[:2]
            q = self.q(self.target_net, obs, last_action, False)[drawn].amin(0).clamp(self.bounds[0], self.bounds[1])
            soft[0] = rewards[0]
            y = sum(w * s for w, s in zip(weights, soft)) + weight * (q - alpha * last_log_prob)
        critic_loss = (self.q(self.critic_net, start, actions[0].detach(), True) - y).square().mean(1).sum()
        self.critic_adam.zero_grad()
        critic_loss.backward()
        self.critic_adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.targets.parameters()), list(self.critics.parameters()), 0.005)
        q = self.q(self.critic_net, obs, last_action, True).mean(0)
        value = sum(w * (r - alpha * p) for w, r, p in zip(weights, rewards, log_probs)) + weight * (q - alpha * last_log_prob)
        entropy = -log_probs[0].detach().mean()
        loss = -value.mean() + self.log_alpha.exp() * (entropy + ACT)
        self.actor_adam.zero_grad()
        loss.backward(inputs=[*self.actor.parameters(), self.log_alpha])
        self.actor_adam.step()


class Fit:
    def __init__(self, wrap):
        self.model = Model()
        self.loss = wrap(self.model.loss)
        groups = [{"params": layer.parameters(), "weight_decay": decay}
                  for layer, decay in zip(self.model.net.layers, [2.5e-4, 5e-4, 7.5e-4, 1e-3])]
        self.adam = torch.optim.AdamW([*groups, {"params": [self.model.log_std], "weight_decay": 1e-2}], 1e-3)
        self.batch = torch.randn(2048, OBS + ACT), torch.randn(2048, OBS + 1), torch.ones(MEMBERS, 2048)

    def minibatch(self):
        inputs, targets, weights = self.batch
        noisy = targets.expand(MEMBERS, -1, -1).clone()
        noisy[..., OBS] += 1e-3 * torch.randn(MEMBERS, 2048)
        self.adam.zero_grad()
        self.loss(inputs, noisy, weights).backward()
        self.adam.step()


def rate(work, count):
    for _ in range(3):
        work()
    wait = torch.cuda.synchronize if CUDA else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(count):
        work()
    wait()
    return count / (time.perf_counter() - start)


for kind, wrap in (("eager", lambda f: f), ("compiled", torch.compile)):
    for threads in (1,) if CUDA else (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        try:
            learner, fit, states = Learner(wrap), Fit(wrap), torch.randn(10_000, OBS)
            updates = rate(lambda: learner.update(states[torch.randint(10_000, (BATCH,))]), UPDATES)
            minibatches = rate(fit.minibatch, MINIBATCHES)
        except Exception as error:  # no compiler at hand, for example
            print(json.dumps({"kind": kind, "threads": threads, "error": str(error)[:200]}))
            continue
        print(json.dumps({"kind": kind, "threads": threads, "updates_per_s": round(updates, 2), "minibatches_per_s": round(minibatches, 3)}), flush=True)
