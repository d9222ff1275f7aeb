"""What the tests that run the program share; they get its path and that of the sources as their first two arguments."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
SOURCE = pathlib.Path(sys.argv[2]).resolve()

sys.path.append(str(SOURCE / "scripts/lib"))
from tables import rows  # noqa: E402

# A run small enough for a test: everything happens, nothing takes long.
TINY_MBPO = """algorithm: mbpo
total_steps: 700
exploration_steps: 400
threads: 1
device: cpu
env: {id: Hopper-v5}
updates_per_step: 1
epoch_length: 100
replay_capacity: 2000
model: {members: 3, elites: 2, hidden: [16, 16], weight_decay: [1e-5, 1e-5, 1e-5], retrain_every: 100, max_epochs: 2,
        reward: learned}
rollout: {start_states: 300, length: [0, 2, 1, 3]}
sac: {hidden: [16, 16], batch_size: 32}
eval: {every_steps: 350, episodes: 2}
checkpoint: {every_steps: 250}
log: {every_steps: 100}
"""
TINY_DHMBPO = """algorithm: dhmbpo
total_steps: 700
exploration_steps: 400
threads: 1
device: cpu
env: {id: Hopper-v5}
first_iteration: 2
replay_capacity: 2000
model: {members: 3, hidden: [16, 16], weight_decay: [1e-4, 1e-4, 1e-4], dropout: [0.01, 0, 0], batch_size: 64, patience: 1,
        first_fit: 2, retrain_every: 100}
rollout: {start_states: 30, length: 4, every_updates: 10, retain: 3}
learner: {hidden: [16, 16], horizon: 3, batch_size: 32, critics: {members: 3, hidden: [16, 16]}}
eval: {every_steps: 350, episodes: 2}
checkpoint: {every_steps: 250}
log: {every_steps: 100}
"""
TINY_SVG = """algorithm: svg
total_steps: 700
exploration_steps: 400
threads: 1
device: cpu
env: {id: Hopper-v5}
replay_capacity: 2000
learner: {hidden: [16, 16], horizon: 2, batch_size: 32, critics: {hidden: [16, 16]}}
model: {members: 3, elites: 2, hidden: [16, 16], weight_decay: [1e-5, 1e-5, 1e-5], retrain_every: 100, max_epochs: 2}
eval: {every_steps: 350, episodes: 2}
checkpoint: {every_steps: 250}
log: {every_steps: 100}
"""
TINY_SAC = """algorithm: sac
total_steps: 500
exploration_steps: 200
threads: 1
device: cpu
env: {id: InvertedPendulum-v5}
sac: {hidden: [16, 16], batch_size: 32}
eval: {every_steps: 200, episodes: 2}
checkpoint: {every_steps: 150}
log: {every_steps: 100}
"""
TINY_PETS = """algorithm: pets
total_steps: 330
exploration_steps: 200
threads: 1
device: cpu
env: {id: CartPoleSwingUp-v0}
replay_capacity: 2000
model: {members: 2, elites: 2, hidden: [16, 16], weight_decay: [1e-5, 1e-5, 1e-5], retrain_every: 60, max_epochs: 2}
propagation: {particles: 2}
planner: {kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}
eval: {every_steps: 200, episodes: 2}
checkpoint: {every_steps: 150}
log: {every_steps: 50}
"""
TINY_ILQR = re.sub(r"propagation: .*\nplanner: .*\n", "ilqr: {horizon: 3, starts: 1, grow_by: 0, first_iterations: 3, iterations: 1}\n",
                   TINY_PETS.replace("algorithm: pets", "algorithm: ilqr"))
TINY_LOCAL = """algorithm: local_models
total_steps: 480
seed: 0
threads: 1
device: cpu
env: {id: LinearQuadratic-v0, max_episode_steps: 20, start_draws: 2}
rollouts: 5
local: {kl_step: 1}
eval: {every_steps: 240, episodes: 2}
checkpoint: {every_steps: 150}
log: {every_steps: 60}
"""
TINY_GPS = TINY_LOCAL.replace("local_models", "gps") + "learner: {hidden: [16], updates: 20}\n"
TINY_CONSTRAINED = """algorithm: constrained_control
total_steps: 480
seed: 0
threads: 1
device: cpu
env: {id: LinearQuadratic-v0, max_episode_steps: 20, start_draws: 2}
ilqr: {starts: 1, grow_by: 10, first_iterations: 20, iterations: 3}
learner: {hidden: [16], updates: 20}
eval: {every_steps: 240, episodes: 2}
checkpoint: {every_steps: 150}
log: {every_steps: 40}
"""
TINY_DAGGER = """algorithm: dagger
total_steps: 300
threads: 1
device: cpu
env: {id: Pendulum-v1, max_episode_steps: 50}
expert: {kind: value_iteration, options: {low: [-3.1416, -8], high: [3.1416, 8], points: [15, 15], periodic: [0], actions: 5}}
beta: 0.5
learner: {hidden: [16], updates: 20}
eval: {every_steps: 150, episodes: 1}
checkpoint: {every_steps: 150}
log: {every_steps: 50}
"""
TINY_PLATO = """algorithm: plato
total_steps: 300
threads: 1
device: cpu
env: {id: InvertedDoublePendulum-v5, observe: {columns: [0, 1, 2], frames: 2, differences: true}}
expert: {kind: lqr, options: {state_weights: [1, 10, 10, 0.1, 0.1, 0.1], action_weights: [0.1]}}
lessons: {episodes: 2, episode_steps: 40}
learner: {hidden: [16], updates: 20}
eval: {every_steps: 150, episodes: 1}
checkpoint: {every_steps: 150}
log: {every_steps: 50}
"""
# SAC whose critics look ahead through the model, and rollouts of the simulator.
TINY_STEVE = re.sub(r"epoch_length: .*\n|rollout: .*\n", "", TINY_MBPO).replace(
    "updates_per_step", "real_ratio: 1\nupdates_per_step").replace(
    "batch_size: 32}", "batch_size: 32, expansion: {horizon: 2, weights: inverse_variance}}")
TINY_MBPO_SIMULATOR = re.sub(r"model: {(.|\n)*?}\n", "model: {kind: simulator, retrain_every: 100}\n", TINY_MBPO)
# The same planner in the simulator, which reads none of what a model takes.
TINY_SIMULATOR = re.sub(r"replay_capacity: .*\n|propagation: .*\n", "",
                        re.sub(r"model: {.*}", "model: {kind: simulator}", TINY_PETS))
TINY_ILQR_SIMULATOR = re.sub(r"replay_capacity: .*\n", "", re.sub(r"model: {.*}", "model: {kind: simulator}", TINY_ILQR))


def run(*arguments, cwd, timeout=300):
    return subprocess.run([PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout)


def comparable(path):
    """The rows without what may differ between equal runs."""
    return [{k: v for k, v in row.items() if not k.startswith(("time/", "rate/", "memory/")) and k != "wall_s"}
            for row in rows(path)]


def tensors(path):
    """What a file of ours in the safetensors format holds: texts, and tensors as (shape, bytes)."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    texts = header.pop("__metadata__")
    at = lambda place: data[8 + size + place[0]:8 + size + place[1]]
    return texts, {name: (tuple(entry["shape"]), at(entry["data_offsets"])) for name, entry in header.items()}


def state(run_dir):
    """Everything in the newest checkpoint but times: texts, tensors, the rows that buffers hold."""
    newest = max((run_dir / "checkpoints").glob("step-*.safetensors"))
    texts, values = tensors(newest)
    pieces = json.loads(texts.pop("reverie.rows"))
    texts.pop("xxh3_64")
    for time in ("wall_s", "logged_s"):
        values.pop(time)
    for buffer, list_of_pieces in pieces.items():
        rows, width = b"", 0
        for begin, end, _ in list_of_pieces:
            name = f"rows-{buffer.replace('/', '.')}-{begin:012}-{end:012}.safetensors"
            (count, width), part = tensors(run_dir / "checkpoints" / name)[1]["rows"]
            assert count == end - begin
            rows += part
        held = int.from_bytes(values[buffer.removesuffix("rows") + "size"][1], "little")
        bytes_of_row = len(rows) // sum(end - begin for begin, end, _ in list_of_pieces)
        values[buffer] = ((held, width), rows[len(rows) - held * bytes_of_row:])
    return texts, values


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.cwd = pathlib.Path(self.folder.name)
        self.addCleanup(self.folder.cleanup)

    def write(self, text, name="c.yaml"):
        (self.cwd / name).write_text(text)
        return name

    def train(self, *arguments, code=0, timeout=300):
        result = run("train", *arguments, cwd=self.cwd, timeout=timeout)
        self.assertEqual(result.returncode, code, result.stderr)
        return result
