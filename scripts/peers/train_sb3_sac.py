"""Train stable-baselines3's SAC with the settings of configs/sac/*.yaml and write its evaluations as Reverie's eval.csv.

    python train_sb3_sac.py HalfCheetah-v5 --seed 0 --steps 30000 --out sb3/half_cheetah/seed-0

The same network sizes, learning rate, batch, target entropy, uniform exploration and one update per env step; evaluation
by the mean action over whole episodes in an environment of its own. What stays stable-baselines3's own is the
initialisation of the weights. scripts/peers/requirements.txt names the packages.
"""

import argparse
import csv
import pathlib
import time

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback

COLUMNS = ["env_step", "wall_s", "return_mean", "return_std", "return_min", "return_max", "length_mean", "episodes"]


def evaluate(agent, env, episodes):
    returns, lengths = [], []
    for _ in range(episodes):
        obs, _ = env.reset()
        returns.append(0.0)
        lengths.append(0)
        done = False
        while not done:
            action, _ = agent.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(action)
            returns[-1] += float(reward)
            lengths[-1] += 1
            done = terminated or truncated
    return np.array(returns), np.array(lengths)


class EvaluateEvery(BaseCallback):
    def __init__(self, env, every_steps, episodes, file):
        super().__init__()
        self.env, self.every_steps, self.episodes, self.file = env, every_steps, episodes, file
        self.writer = csv.writer(file)
        self.writer.writerow(COLUMNS)
        self.start = time.monotonic()

    def record(self):
        wall_s = time.monotonic() - self.start
        returns, lengths = evaluate(self.model, self.env, self.episodes)
        self.writer.writerow(
            [self.num_timesteps, wall_s, returns.mean(), returns.std(), returns.min(), returns.max(), lengths.mean(), self.episodes]
        )
        self.file.flush()

    def _on_training_start(self):
        self.record()

    # Called after the env step and before the updates of that step.
    def _on_step(self):
        if self.num_timesteps % self.every_steps == 0:
            self.record()
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30000)
    parser.add_argument("--exploration-steps", type=int, default=5000)
    parser.add_argument("--eval-every", type=int, default=5000)
    parser.add_argument("--eval-episodes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True)
    eval_env = gymnasium.make(args.task)
    eval_env.reset(seed=args.seed + 10000)
    agent = stable_baselines3.SAC(
        "MlpPolicy",
        gymnasium.make(args.task),
        learning_rate=3e-4,
        buffer_size=1_000_000,
        learning_starts=args.exploration_steps,
        batch_size=256,
        tau=0.005,
        gamma=0.99,
        train_freq=1,
        gradient_steps=1,
        ent_coef="auto",
        target_entropy="auto",
        policy_kwargs={"net_arch": [256, 256]},
        seed=args.seed,
        device="cpu",
    )
    with open(args.out / "eval.csv", "w", newline="") as file:
        agent.learn(args.steps, callback=EvaluateEvery(eval_env, args.eval_every, args.eval_episodes, file))


if __name__ == "__main__":
    main()
