"""Acts with exported policies from Python: PyTorch from policy.pt, NumPy alone from policy.json.

export_oracle.py actions FOLDER...     obs.f32 in, torch.f32 and numpy.f32 out
export_oracle.py drive FOLDER...       200 steps of Gymnasium with the TorchScript policy: obs.f32, torch.f32, numpy.f32
export_oracle.py sample FOLDER COUNT   obs.f32 (one row) in, `sample` for COUNT equal rows out: sample.f32
export_oracle.py facts FOLDER          what the TorchScript module says of itself: facts.json

Files named *.f32 are float32, row by row, without a header.
"""

import json
import pathlib
import sys

import numpy as np
import torch


def load(folder, name, width):
    return np.fromfile(folder / name, dtype=np.float32).reshape(-1, width)


def save(folder, name, rows):
    np.asarray(rows).astype(np.float32).tofile(folder / name)


class NumpyPolicy:
    """The mean action in float64, from the keys of policy.json."""

    ACTIVATIONS = {
        "relu": lambda x: np.maximum(x, 0.0),
        "tanh": np.tanh,
        "silu": lambda x: x / (1.0 + np.exp(-x)),
        "identity": lambda x: x,
    }

    def __init__(self, path):
        self.file = json.loads(path.read_text())
        self.low, self.high = np.array(self.file["action_low"]), np.array(self.file["action_high"])
        assert list(self.file)[:10] == [
            "format_version", "env_id", "env_options", "obs_dim", "act_dim", "action_low", "action_high", "obs_mean",
            "obs_std", "layers",
        ]

    def __call__(self, obs):
        x = (obs - np.array(self.file["obs_mean"])) / np.array(self.file["obs_std"])
        for layer in self.file["layers"]:
            x = self.ACTIVATIONS[layer["activation"]](x @ np.array(layer["weight"]).T + np.array(layer["bias"]))
        return self.low + (x + 1.0) / 2.0 * (self.high - self.low)


def actions(folder):
    policy = torch.jit.load(folder / "policy.pt")
    obs = load(folder, "obs.f32", policy.obs_dim)
    save(folder, "torch.f32", policy(torch.from_numpy(obs)).numpy())
    save(folder, "numpy.f32", NumpyPolicy(folder / "policy.json")(obs.astype(np.float64)))


def drive(folder):
    import gymnasium

    policy = torch.jit.load(folder / "policy.pt")
    numpy_policy = NumpyPolicy(folder / "policy.json")
    env = gymnasium.make(policy.env_id, **numpy_policy.file["env_options"])
    trace, taken = [], []
    obs, _ = env.reset(seed=1)
    for _ in range(200):
        obs = obs.astype(np.float32)
        action = policy(torch.from_numpy(obs)[None]).numpy()[0]
        assert env.action_space.contains(action), action
        trace.append(obs)
        taken.append(action)
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            obs, _ = env.reset()
    save(folder, "obs.f32", trace)
    save(folder, "torch.f32", taken)
    save(folder, "numpy.f32", numpy_policy(np.array(trace, dtype=np.float64)))


def sample(folder, count):
    torch.manual_seed(7)
    policy = torch.jit.load(folder / "policy.pt")
    obs = torch.from_numpy(load(folder, "obs.f32", policy.obs_dim)).expand(count, -1)
    save(folder, "sample.f32", policy.sample(obs).numpy())


def facts(folder):
    policy = torch.jit.load(folder / "policy.pt")
    # A module with a device written into it cannot act on one that holds no data.
    on_meta = torch.jit.load(folder / "policy.pt", map_location="meta")
    rows = torch.zeros(3, policy.obs_dim, device="meta")
    try:
        policy(torch.zeros(3, policy.obs_dim + 1))
        refused = False
    except torch.jit.Error as error:
        refused = f"obs must be [B, {policy.obs_dim}]" in str(error)
    facts_found = {
        "env_id": policy.env_id,
        "obs_dim": policy.obs_dim,
        "act_dim": policy.act_dim,
        "format_version": policy.format_version,
        "requires_grad": policy(torch.zeros(1, policy.obs_dim)).requires_grad,
        "devices": [on_meta(rows).device.type, on_meta.sample(rows).device.type],
        "refuses_other_width": refused,
    }
    (folder / "facts.json").write_text(json.dumps(facts_found))


def main(command, *arguments):
    torch.set_num_threads(1)
    if command == "sample":
        sample(pathlib.Path(arguments[0]), int(arguments[1]))
        return
    for folder in arguments:
        {"actions": actions, "drive": drive, "facts": facts}[command](pathlib.Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
