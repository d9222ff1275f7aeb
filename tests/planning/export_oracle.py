"""Plans with exported planners from Python, and computes what they should say without them.

export_oracle.py facts FOLDER...     what the module says of itself, and what it does with seeds, shapes and devices
export_oracle.py returns FOLDER...   a deterministic model's predictions and returns, in NumPy from its parameters alone
export_oracle.py noise FOLDER...     the returns of LinearQuadratic-v0 under a model with noise, by its moments
export_oracle.py control FOLDER...   the first actions on LinearQuadratic-v0 against the optimal ones

Each reads planner.pt and case.safetensors, and fails where something differs.
"""

import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import load_file


def close(values, expected, tolerance):
    """Within `tolerance` of the largest expected number."""
    values, expected = np.asarray(values, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert values.shape == expected.shape, (values.shape, expected.shape)
    difference = np.abs(values - expected).max() / np.abs(expected).max()
    assert difference < tolerance, difference


def facts(planner, case, folder):
    assert (planner.env_id, planner.planner, planner.format_version) == ("LinearQuadratic-v0", "cem", 1)
    assert planner.needs == "LibTorch 2.2 or newer"
    assert (planner.obs_dim, planner.act_dim, planner.horizon) == (4, 2, 12)
    obs = torch.from_numpy(case["obs"])
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = [planner(obs, seed) for seed in (1, 2, 1, 1, 1)]  # often enough for TorchScript to have optimised it
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[0], again) for again in first[2:])
    assert (first[0] != first[1]).any(1).all()
    assert torch.equal(planner(obs), planner(obs, 0)) and first[0].shape == (len(obs), 2)
    for rows in (0, 1, 3):
        assert torch.equal(planner(obs[:rows], 1), first[0][:rows])
    assert torch.equal(planner(obs.double(), 1), first[0])
    assert (first[0] >= torch.tensor([-1.0, -1.0])).all() and (first[0] <= torch.tensor([1.0, 1.0])).all()
    torch.set_default_dtype(torch.float64)
    assert torch.equal(planner(obs, 1), first[0])
    torch.set_default_dtype(torch.float32)

    start = torch.zeros(12, 2)
    assert torch.equal(planner.plan(obs[0], start, 1)[0], first[0][0])  # bounds of [-1, 1]
    assert not torch.equal(planner.plan(obs[0], start + 0.5, 1), planner.plan(obs[0], start, 1))
    assert not planner(obs[:1].requires_grad_()).requires_grad
    for wrong in (lambda: planner(torch.zeros(3, 5)), lambda: planner(torch.zeros(4)),
                  lambda: planner.plan(torch.zeros(4), torch.zeros(11, 2)),
                  lambda: planner.returns(torch.zeros(4), torch.zeros(3, 12, 1))):
        try:
            wrong()
        except torch.jit.Error as error:
            assert "must be [" in str(error), error
        else:
            raise AssertionError("a wrong shape was taken")

    # A module with a device written into it cannot plan on one that holds no data.
    on_meta = torch.jit.load(folder / "planner.pt", map_location="meta")
    plan = on_meta._search(torch.zeros(4, device="meta"), torch.zeros(12, 2, device="meta"), torch.Generator())
    assert (plan.device.type, plan.shape) == ("meta", (12, 2))


class Ensemble:
    """The elites' means in float64, from the module's parameters."""

    def __init__(self, planner, features):
        numbers = {name: tensor.double().numpy() for name, tensor in planner.state_dict().items()}
        self.__dict__.update(numbers)
        self.layers = [(numbers[f"weight_{i}"], numbers[f"bias_{i}"]) for i in range(sum("weight" in n for n in numbers))]
        self.features = features

    def __call__(self, obs, action):
        x = np.concatenate([self.features(obs), action], -1)
        h = np.broadcast_to((x - self.input_mean) / self.input_std, (len(self.layers[0][0]), *x.shape))
        for weight, bias in self.layers[:-1]:
            h = h @ weight + bias
            h = h / (1 + np.exp(-h))
        mean = h @ self.layers[-1][0] + self.layers[-1][1]
        return mean * self.target_scale + self.target_offset


def quadratic(obs, action, next_obs):
    return -(obs**2 @ [1, 1, 0.1, 0.1]) - (action**2).sum(-1)


def swing_up(obs, action, next_obs):
    x, theta = next_obs[..., 0], next_obs[..., 1]
    tip = np.stack([x + 0.6 * np.sin(theta), -0.6 * np.cos(theta) - 0.6])
    return np.exp(-(tip**2).sum(0) / 0.6**2) - 0.01 * action[..., 0] ** 2


def angle_features(obs):
    x, theta, *rates = np.moveaxis(obs, -1, 0)
    return np.stack([x, np.sin(theta), np.cos(theta), *rates], -1)


def returns(planner, case, folder):
    toy = planner.env_id == "LinearQuadratic-v0"
    ensemble = Ensemble(planner, (lambda obs: obs) if toy else angle_features)
    obs, actions = case["obs"].astype(np.float64), case["actions"].astype(np.float64)
    mean, var = planner.predict(torch.from_numpy(case["obs"]), torch.from_numpy(case["actions"][:len(obs), 0]))
    assert not var.any()
    close(mean, ensemble(obs, actions[:len(obs), 0]), 1e-5)
    for row in obs:
        expected = []
        for elite in range(mean.shape[0]):
            state, earned = np.broadcast_to(row, (len(actions), len(row))), 0
            for t in range(actions.shape[1]):
                target = ensemble(state, actions[:, t])[elite]
                next_state = target[:, :4] if case["target_is_next_obs"] else state + target[:, :4]
                if target.shape[1] > 4:
                    earned = earned + target[:, 4]
                else:
                    earned = earned + (quadratic if toy else swing_up)(state, actions[:, t], next_state)
                state = next_state
            expected.append(earned)
        for seed in (1, 2):
            score = planner.returns(torch.from_numpy(row.astype(np.float32)), torch.from_numpy(case["actions"]), seed)
            close(score, np.mean(expected, 0), 1e-4)


def noise(planner, case, folder):
    """Mean and covariance of x' = A x + B u + N(0, v I), whose reward is quadratic; ds keeps only the variances."""
    a, b, v = (case[name].astype(np.float64) for name in ("a", "b", "v"))
    scores = np.array([planner.returns(torch.from_numpy(case["obs"][0]), torch.from_numpy(case["actions"]), seed).numpy()
                       for seed in range(40)])
    expected = []
    for sequence in case["actions"].astype(np.float64):
        mean, cov, earned = case["obs"][0].astype(np.float64), np.zeros((4, 4)), 0
        for action in sequence:
            earned += quadratic(mean, action, None) - np.diag(cov) @ [1, 1, 0.1, 0.1]
            mean = a @ mean + b @ action
            cov = a @ cov @ a.T + (0 if case["kind"] == 3 else v) * np.eye(4)
            cov = np.diag(np.diag(cov)) if case["kind"] == 2 else cov
        expected.append(earned)
    error = np.abs(scores.mean(0) - expected)
    assert (error <= 5 * scores.std(0) / np.sqrt(len(scores)) + 1e-4 * np.abs(expected)).all(), (error, scores.std(0))
    assert (scores.std(0) < 1e-6).all() == (case["kind"] == 3), scores.std(0)


def control(planner, case, folder):
    obs = torch.from_numpy(case["obs"])
    actions = torch.stack([planner(obs, seed) for seed in range(4)]).mean(0).numpy()
    error = np.abs(actions + case["obs"] @ case["k"].T).max()
    assert error < case["tolerance"], error


def main(command, *folders):
    torch.set_num_threads(1)
    for folder in map(pathlib.Path, folders):
        check = {"facts": facts, "returns": returns, "noise": noise, "control": control}[command]
        check(torch.jit.load(folder / "planner.pt"), load_file(folder / "case.safetensors"), folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
