"""The program as a user meets it: bad input, every config, every use of uncertainty, repeated and resumed runs.

usage: program_test.py PROGRAM SOURCE_DIR CLASS [unittest arguments]
"""
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from program import (PROGRAM, SOURCE, TINY_CONSTRAINED, TINY_DAGGER, TINY_DHMBPO, TINY_GPS, TINY_ILQR, TINY_ILQR_SIMULATOR, TINY_LOCAL, TINY_MBPO, TINY_MBPO_SIMULATOR, TINY_PETS, TINY_PLATO, TINY_SAC, TINY_SIMULATOR,  # noqa: E402
                     TINY_STEVE, TINY_SVG, Case, comparable, rows, run)

# Those of single runs; sweeps have a form of their own.
CONFIGS = sorted(file for file in (SOURCE / "configs").rglob("*.yaml") if file.parent.name != "sweeps")


# Columns that docs/columns.md explains; <h> and ... stand for anything.
EXPLAINED = [re.compile(re.sub(r"<[^>]*>|\\\.\\\.\\\.", ".+", re.escape(name)))
             for name in re.findall(r"`([^`]+)`", (SOURCE / "docs/columns.md").read_text())]


class BadInput(Case):
    """Exit code 2, one line that says what is wrong and where, and not a file left behind."""

    BROKEN = {
        "unknown key": (TINY_MBPO.replace("length: [0", "lenght: [0"),
                        "c.yaml:12: rollout.lenght: no such key; did you mean rollout.length?"),
        "unknown top-level key": (TINY_SAC + "gama: 0.99\n", "c.yaml:11: gama: no such key"),
        "no algorithm": (TINY_SAC.replace("algorithm: sac\n", ""), "c.yaml: algorithm: missing"),
        "unknown algorithm": (TINY_SAC.replace("sac\n", "sacc\n", 1), "c.yaml:1: algorithm: expected one of constrained_control, dagger, dhmbpo, gps, ilqr, local_models, mbpo, pets, plato, sac, svg"),
        "no environment": (TINY_SAC.replace("env: {id: InvertedPendulum-v5}\n", ""), "env.id: missing"),
        "unknown environment": (TINY_SAC.replace("InvertedPendulum-v5", "InvertedPendulun-v5"),
                                "c.yaml:6: env.id: no environment named InvertedPendulun-v5; "
                                "did you mean InvertedPendulum-v5?"),
        "unknown option": (TINY_SAC.replace("-v5}", "-v5, options: {reset_noise: 1}}"),
                           "c.yaml:6: env.options.reset_noise: no such key"),
        "option of the wrong type": (TINY_SAC.replace("-v5}", "-v5, options: {reset_noise_scale: much}}"),
                                     "c.yaml:6: env.options.reset_noise_scale: expected a number"),
        "a start state of another size": (TINY_SAC.replace("-v5}", "-v5, start_states: [[0, 0, 0, 0], [0, 0]]}"),
                                          "c.yaml:6: env.start_states: InvertedPendulum-v5: a state has 4 numbers, got 2"),
        "a start state that is not finite": (TINY_SAC.replace("-v5}", "-v5, start_states: [[.inf, 0, 0, 0]]}"),
                                             "c.yaml:6: env.start_states: InvertedPendulum-v5"),
        "two equal start states": (TINY_LOCAL.replace("start_draws: 2", "start_states: [[1, 0, 0, 0], [1, 0, 0, 0]]"),
                                   "c.yaml:6: env.start_states: two are equal"),
        "noise of a rung that plans nothing": (TINY_ILQR + "ladder: v0.5\nnoise_std: 0.1\n", "noise_std: is read only where ladder is v1.0 or v1.5"),
        "one network that disagrees": (TINY_ILQR.replace("members: 2, elites: 2", "members: 1, elites: 1")
                                       + "propagation: {disagreement_penalty: 1}\n",
                                       "propagation.disagreement_penalty: one network has nothing to disagree with"),
        "a start state that is no list": (TINY_SAC.replace("-v5}", "-v5, start_states: [0, 0, 0, 0]}"),
                                          "c.yaml:6: env.start_states: expected a list of numbers, got 0"),
        "start states drawn and given": (TINY_SAC.replace("-v5}", "-v5, start_states: [[0, 0, 0, 0]], start_draws: 2}"),
                                         "c.yaml:6: env.start_draws: is read only where env.start_states is empty"),
        "local models that begin anywhere": (TINY_LOCAL.replace("start_draws: 2", "start_draws: 0"),
                                             "c.yaml:6: env: start_states: expected at least one, or start_draws above 0"),
        "local models that take longer": (TINY_LOCAL.replace("total_steps: 480", "total_steps: 199"),
                                          "rollouts: an iteration takes 5 episodes of 20 env steps from each of 2 start states, 200 in all, and total_steps is 199"),
        "local models of observations": (TINY_LOCAL.replace("start_draws: 2", "start_draws: 2, observe: {frames: 2}"),
                                         "env: expected observe as it is by default, as local models see the simulator's state"),
        "a planner in the simulator of observations": (
            TINY_SIMULATOR.replace("-v0", "-v0, observe: {frames: 2}"),
            "model.kind: simulator plans from the environment's state; expected env.observe as it is by default"),
        "iLQR in the simulator of observations": (
            TINY_ILQR_SIMULATOR.replace("-v0", "-v0, observe: {columns: [0]}"),
            "model.kind: simulator plans from the environment's state; expected env.observe as it is by default"),
        "a measure that is constant": (re.sub(r"model: {[^}]*}", "model: {kind: homoscedastic, members: 2, hidden: [16, 16], weight_decay: [0, 0, 0], "
                                              "dropout: [0, 0, 0], patience: 1, retrain_every: 60}", TINY_PETS)
                                       + "uncertainty: {use: penalty, measure: max_aleatoric, coefficient: 1}\n",
                                       "measure: max_aleatoric is one constant of such a model"),
        "value gradients of steps that jump": (
            re.sub(r"model: {[^}]*}", "model: {kind: mdn}", TINY_DHMBPO),
            "model: the steps of model.kind: mdn jump between components and have no derivatives to follow; expected one of ensemble, homoscedastic, dropout, bnn, gp, flow, diffusion, vae, gan"),
        "plans by derivatives of steps that jump": (
            re.sub(r"planner: .*\n", "planner: {kind: gradient}\n", re.sub(r"model: {[^}]*}", "model: {kind: mdn, members: 2}", TINY_PETS)),
            "planner.kind: gradient follows derivatives: the steps of model.kind: mdn jump between components"),
        "plans along trajectories of steps that jump": (
            re.sub(r"planner: .*\n", "planner: {kind: ilqs, horizon: 3}\n", re.sub(r"model: {[^}]*}", "model: {kind: mdn, members: 2}", TINY_PETS)),
            "planner.kind: ilqs follows derivatives: iLQR follows derivatives of steps without noise, the mean of a Gaussian's, which model.kind: mdn does not have; "
            "expected one of ensemble, homoscedastic, dropout, bnn, gp"),
        "iLQR through steps that jump": (re.sub(r"model: {[^}]*}", "model: {kind: mdn}", TINY_ILQR),
                                         "model: iLQR follows derivatives of steps without noise, the mean of a Gaussian's, which model.kind: mdn"),
        "iLQR through steps that are not Gaussian": (re.sub(r"model: {[^}]*}", "model: {kind: flow}", TINY_ILQR),
                                                     "model: iLQR follows derivatives of steps without noise, the mean of a Gaussian's, which model.kind: flow"),
        "an odd number of draws": (re.sub(r"model: {[^}]*}", "model: {kind: flow, moment_samples: 31}", TINY_MBPO),
                                   "model.moment_samples: expected an even number, as they come in pairs"),
        "noise of steps that are not Gaussian": (
            re.sub(r"model: {[^}]*}", "model: {kind: flow}", TINY_SVG).replace("horizon: 2", "horizon: 1, noise: inferred, entropy: none"),
            "model: learner.noise: inferred is of Gaussian steps, which those of model.kind: flow are not"),
        "value gradients along steps that jump": (re.sub(r"model: {[^}]*}", "model: {kind: mdn}", TINY_SVG),
                                                  "model: the steps of model.kind: mdn jump between components"),
        "a table of random steps": (TINY_DAGGER.replace("Pendulum-v1", "Fork-v0"),
                                    "expert.kind: value_iteration tables one step for each state and action, and those of Fork-v0 are random"),
        "local models without a cost": (TINY_LOCAL.replace("LinearQuadratic-v0", "HalfCheetah-v5"),
                                        "c.yaml:6: env: HalfCheetah-v5 has no cost of its states to minimise"),
        "constrained control without a cost": (TINY_CONSTRAINED.replace("LinearQuadratic-v0", "InvertedPendulum-v5"),
                                               "c.yaml:6: env: InvertedPendulum-v5 has no cost of its states to minimise"),
        "constrained control that takes longer": (
            TINY_CONSTRAINED.replace("total_steps: 480", "total_steps: 39"),
            "c.yaml:6: env: an iteration takes 1 episode of 20 env steps from each of 2 start states, 40 in all, and total_steps is 39"),
        "a penalty above its greatest": (TINY_CONSTRAINED + "penalty: 200\npenalty_growth: 2\nmax_penalty: 100\n",
                                         "max_penalty: expected at least the penalty"),
        "constrained control of earlier observations": (
            TINY_CONSTRAINED.replace("start_draws: 2", "start_draws: 2, observe: {frames: 2}"),
            "c.yaml:6: env: expected observe.frames 1, as the network is a function of the present state"),
        "a horizon of whole episodes": (TINY_CONSTRAINED.replace("{starts: 1", "{horizon: 5, starts: 1"),
                                        "c.yaml:7: ilqr.horizon: no such key"),
        "a rate without multipliers": (TINY_CONSTRAINED + "multipliers: false\ndual_rate: 0.5\n",
                                       "c.yaml:13: dual_rate: is read only where multipliers is true"),
        "smooth noise of a network": (TINY_GPS.replace("kl_step", "noise_smoothing: 2, kl_step") + "samples: network\n",
                                      "local: expected noise_smoothing 0 with samples: network"),
        "a prior of what is not fitted": (
            TINY_LOCAL.replace("{kl_step", "{dynamics: derivatives, prior: none, kl_step"),
            "c.yaml:8: local.prior: is read only where local.dynamics is fitted"),
        "a mixture's clusters without one": (TINY_LOCAL.replace("{kl_step", "{prior: gaussian, prior_clusters: 2, kl_step"),
                                             "local.prior_clusters: is read only where local.prior is mixture"),
        "wrong type": (TINY_SAC.replace("500", "many"), "c.yaml:2: total_steps: expected an integer"),
        "a list for a number": (TINY_SAC.replace("500", "[1, 2]"), "c.yaml:2: total_steps: expected an integer"),
        "out of range": (TINY_SAC.replace("[16, 16]", "[16, 0]"), "c.yaml:7: sac.hidden: expected an integer at least 1"),
        "negative": (TINY_SAC.replace("200\n", "-200\n", 1), "c.yaml:3: exploration_steps: expected an integer"),
        "ratio above 1": (TINY_MBPO + "real_ratio: 1.5\n", "real_ratio: expected a number at least 0 and at most 1"),
        "duplicate key": (TINY_SAC + "seed: 1\nseed: 2\n", "c.yaml:12: seed: given twice"),
        "not YAML": (TINY_SAC + "sac: [\n", "not YAML"),
        "empty file": ("", "c.yaml: is empty"),
        "a range the wrong way round": (TINY_SAC.replace("{id: InvertedPendulum-v5}", "\n  id: Hopper-v5\n  options:\n    healthy_z_range: [2, 1]"),
                                        "c.yaml:9: env.options.healthy_z_range: expected [LOW, HIGH] with LOW at most HIGH, got [2, 1]"),
        "a list of the wrong length": (TINY_MBPO.replace("[0, 2, 1, 3]", "[1, 2, 3]"),
                                       "c.yaml:12: rollout.length: expected a length or [a, b, x, y], got [1, 2, 3]"),
        "a discount without end": (TINY_DHMBPO.replace("learner: {", "learner: {discount: 1, "),
                                   "c.yaml:12: learner.discount: expected below 1, as 1 / (1 - discount) scales the critics, got 1"),
        "a list": ("- 1\n", "c.yaml: expected a file of keys and values"),
        "elites above members": (TINY_MBPO.replace("elites: 2", "elites: 4"), "model.elites: expected at most model.members"),
        "decay of other length": (TINY_MBPO.replace("[1e-5, 1e-5, 1e-5]", "[1e-5]"), "model.weight_decay: expected one number"),
        "known reward where there is none": (TINY_MBPO.replace("reward: learned", "reward: known"), "c.yaml:11: model.reward: known"),
        "unknown measure": (TINY_MBPO + "uncertainty: {use: penalty, measure: guess}\n",
                            "uncertainty.measure: expected one of max_aleatoric"),
        "bad threshold": (TINY_MBPO + "uncertainty: {use: truncate, threshold: q1.5}\n", "uncertainty.threshold: expected a number, or"),
        "one network's disagreement": (TINY_PETS.replace("elites: 2", "elites: 1").replace("members: 2", "members: 1")
                                       + "uncertainty: {use: penalty}\n",
                                       "uncertainty: one network has nothing to disagree with"),
        "a quantile of no rows": (TINY_PETS + "uncertainty: {use: terminate}\n",
                                  "uncertainty: threshold: q0.99 is taken over rows that a fit holds out"),
        "a mask in a plan": (TINY_PETS + "uncertainty: {use: mask}\n", "c.yaml:14: uncertainty.use: mask is for a critic's rows"),
        "weights in a plan": (TINY_PETS + "uncertainty: {use: weight}\n", "c.yaml:14: uncertainty.use: weight is for a critic's rows"),
        "elites without a ranking": (TINY_PETS.replace("elites: 2", "elites: 1"),
                                     "model.holdout_ratio: expected above 0, as the elites are the best by hold-out"),
        "a fit without an end": (TINY_PETS.replace("max_epochs: 2", "max_epochs: 0"), "model.max_epochs: expected at least 1"),
        "particles that elites cannot share": (TINY_PETS.replace("particles: 2", "particles: 3"),
                                               "c.yaml:9: propagation.particles: with kind: tsinf each network that predicts carries as many "
                                               "of them, expected a multiple of model.elites, 2, got 3"),
        "particles that members cannot share": (
            TINY_PETS.replace("elites: 2,", "kind: homoscedastic,").replace("particles: 2", "particles: 3")
            .replace("[1e-5, 1e-5, 1e-5]", "[0, 0, 0], dropout: [0, 0, 0]").replace(", max_epochs: 2", ""),
            "expected a multiple of model.members, 2, got 3"),
        "unknown planner": (TINY_PETS.replace("cem", "sem"), "planner.kind: expected one of random_shooting, cem, icem"),
        "another planner's option": (TINY_PETS.replace("iterations: 2", "sigma: 2"), "c.yaml:10: planner.options.sigma: is read only where planner.kind is mppi"),
        "derivatives of the simulator": (
            TINY_SIMULATOR.replace(
                "{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}", "{kind: gradient}"),
            "c.yaml:8: planner.kind: gradient needs derivatives by the actions, which model.kind: simulator does not give"),
        "derivatives of a constant reward": (
            TINY_PETS.replace("CartPoleSwingUp-v0", "InvertedPendulum-v5").replace(
                "{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}", "{kind: gradient}"),
            "c.yaml:10: planner.kind: gradient needs derivatives by the actions, which the known reward of InvertedPendulum-v5 does "
            "not have; model.reward: learned does"),
        "a trajectory of a constant reward": (
            TINY_PETS.replace("CartPoleSwingUp-v0", "InvertedPendulum-v5").replace(
                "{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}", "{kind: ilqs}"),
            "c.yaml:10: planner.kind: ilqs follows derivatives: iLQR needs derivatives by the actions, which the known reward of InvertedPendulum-v5 "
            "does not have; model.reward: learned does"),
        "a trajectory of a task without a cost of states": (
            TINY_SIMULATOR.replace("CartPoleSwingUp-v0", "HalfCheetah-v5").replace(
                "{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}", "{kind: ilqs}"),
            "c.yaml:8: planner.kind: ilqs follows derivatives: HalfCheetah-v5 has no cost of its states"),
        "a trajectory of coarse steps": (
            TINY_PETS.replace("{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}", "{kind: ilqs}")
            .replace("members: ", "precision: bf16, members: "),
            "planner.kind: ilqs needs model.precision: float32, as plans follow derivatives of the steps"),
        "a step that does not begin at its own length": (
            TINY_LOCAL.replace("kl_step", "growth_range: [2, 3], kl_step"), "local.growth_range: expected a range with 1 inside"),
        "a sampler's option that another has": (
            TINY_PETS.replace("{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}",
                              "{kind: ilqs, options: {sampler: {kind: cem, options: {sigma: 1}}}}"),
            "planner.options.sampler.options.sigma: is read only where planner.options.sampler.kind is mppi"),
        "bad schedule": (TINY_MBPO.replace("[0, 2, 1, 3]", "[0, 2, 1]"), "rollout.length: expected a length or"),
        "rollouts of no length": (TINY_MBPO.replace("[0, 2, 1, 3]", "0"),
                                  "c.yaml:12: rollout.length: expected a length at least 1 and at most 1e+06, got 0"),
        "rollouts that end at no length": (TINY_MBPO.replace("[0, 2, 1, 3]", "[0, 2, 1, 0]"),
                                           "c.yaml:12: rollout.length: expected lengths x and y at least 1 and at most"),
        "bad device": (TINY_SAC.replace("device: cpu", "device: gpu"), "c.yaml:5: device: expected auto, cpu, cuda"),
        "exploration to the end": (TINY_SAC.replace("200\n", "500\n", 1),
                                   "c.yaml:3: exploration_steps: expected below total_steps, 500, got 500"),
        "exploration beyond the end": (TINY_SAC.replace("exploration_steps: 200\n", ""),
                                       "exploration_steps: expected below total_steps, 500, got the default, 5000"),
        "a buffer for one row": (TINY_MBPO.replace("2000", "1"), "c.yaml:10: model: a first fit needs 2 transitions, one of "
                                 "them held out, and gets 1: raise exploration_steps or replay_capacity"),
        **{f"a buffer for one row of {name}": (text.replace("2000", "1"), f"model: a first fit needs {rows} transitions, {held} them held out, and gets 1")
           for name, text, rows, held in (("svg", TINY_SVG, 2, "one of"), ("dhmbpo", TINY_DHMBPO, 3, "2 of"))},
        "a fit of one row's ensemble with one noise": (
            re.sub("model: .*\n", "model: {kind: homoscedastic}\n", TINY_PETS).replace("200\n", "1\n", 1),
            "c.yaml:7: replay_capacity: a first fit needs 3 transitions"),
        "a fit on one row that iLQR plans with": (TINY_ILQR.replace("{members", "{holdout_ratio: 0.1, members").replace("200\n", "1\n", 1),
                                                  "c.yaml:7: replay_capacity: a first fit needs 2 transitions"),
        "a fit on one row": (TINY_PETS.replace("{members", "{holdout_ratio: 0.1, members").replace("200\n", "1\n", 1),
                             "c.yaml:7: replay_capacity: a first fit needs 2 transitions"),
        "a threshold that is no number": (TINY_MBPO + "uncertainty: {use: truncate, threshold: nan}\n",
                                          "uncertainty.threshold: expected a number, or a quantile"),
        **{f"{measure} of one without variances": (
            TINY_PETS.replace("{members", "{deterministic: true, members") + f"uncertainty:\n  use: penalty\n  measure: {measure}\n",
            "c.yaml:16: uncertainty.measure: expected ensemble_std or max_pairwise, as the others look at variances")
           for measure in ("max_aleatoric", "jensen_renyi", "one_vs_rest")},
        **{f"{measure} of one without variances that rollouts look at": (
            TINY_MBPO.replace("{members", "{deterministic: true, members") + f"uncertainty:\n  use: penalty\n  measure: {measure}\n",
            "c.yaml:19: uncertainty.measure: expected ensemble_std or max_pairwise, as the others look at variances")
           for measure in ("max_aleatoric", "jensen_renyi", "one_vs_rest")},
        "a coefficient of nothing": (TINY_MBPO + "uncertainty: {coefficient: 2}\n",
                                     "c.yaml:17: uncertainty.coefficient: is read only where uncertainty.use is penalty"),
        "a measure of nothing": (TINY_MBPO + "uncertainty: {use: none, measure: max_pairwise}\n",
                                 "c.yaml:17: uncertainty.measure: is read only where uncertainty.use is not none"),
        "a threshold of a penalty": (
            TINY_MBPO + "uncertainty: {use: penalty, threshold: 1}\n",
            "c.yaml:17: uncertainty.threshold: is read only where uncertainty.use is terminate or truncate"),
        "a penalty without an end": (
            TINY_MBPO + "uncertainty: {use: truncate, terminal_penalty: 1}\n",
            "c.yaml:17: uncertainty.terminal_penalty: is read only where uncertainty.use is terminate"),
        "a temperature in a plan": (TINY_PETS + "uncertainty: {use: penalty, temperature: 2}\n",
                                    "c.yaml:14: uncertainty.temperature: is read only where uncertainty.use is weight"),
        "patience without a hold-out": (TINY_PETS.replace("max_epochs", "patience: 3, max_epochs"),
                                        "c.yaml:8: model.patience: is read only where model.holdout_ratio is above 0"),
        "a bound on no hold-out": (TINY_MBPO.replace("members", "holdout_ratio: 0, max_holdout: 9, members").replace(
            "elites: 2", "elites: 3"), "c.yaml:10: model.max_holdout: is read only where model.holdout_ratio is above 0"),
        **{f"a simulator's {key}": (
            TINY_SIMULATOR.replace("model: {kind: simulator}", f"model: {{kind: simulator{inner}}}") + outer,
            f"c.yaml:{line}: {key}: is read only where model.kind is {'ensemble' if key.startswith('model.') else 'not simulator'}")
           for key, inner, outer, line in (("model.members", ", members: 3", "", 7),
                                           ("model.patience", ", patience: 3", "", 7),
                                           ("replay_capacity", "", "replay_capacity: 9\n", 12),
                                           ("propagation.particles", "", "propagation: {particles: 9}\n", 12),
                                           ("uncertainty.use", "", "uncertainty: {use: penalty}\n", 12))},
        **{f"a value gradient's {name}": (TINY_SVG.replace("horizon: 2", new), f"c.yaml:8: learner.{expected}")
           for name, new, expected in (
               ("value without an end", "horizon: 0, terminal_value: none",
                "terminal_value: expected critic, as without an imagined step (learner.horizon) there is nothing else to learn from"),
               ("expansion over nothing", "horizon: 0, critic_target: expansion",
                "critic_target: expected td, as without an imagined step (learner.horizon) there is nothing to expand over"),
               ("noise of nothing", "horizon: 0, noise: sampled", "noise: is read only where learner.horizon is above 0"),
               ("noise of two real steps", "horizon: 2, entropy: none, noise: inferred",
                "noise: inferred is of one real step of a Gaussian policy without entropy"),
               ("noise of an entropy", "horizon: 1, noise: inferred", "noise: inferred is of one real step"),
               ("noise of no policy", "horizon: 1, policy: deterministic, noise: inferred", "noise: inferred is of one real step"),
               ("entropy of no policy", "horizon: 2, policy: deterministic, entropy: first",
                "entropy: is read only where learner.policy is gaussian"),
               ("alpha of no policy", "horizon: 2, policy: deterministic, initial_alpha: 1",
                "initial_alpha: is read only where learner.policy is gaussian"),
               ("alpha of no entropy", "horizon: 2, entropy: none, initial_alpha: 1",
                "initial_alpha: is read only where learner.entropy is not none"),
               ("exploration of a Gaussian", "horizon: 2, exploration_std: 1",
                "exploration_std: is read only where learner.policy is deterministic"),
               ("critics without a value", "horizon: 2, terminal_value: none",
                "critics.hidden: is read only where learner.terminal_value is critic"),
               ("target without a value", "horizon: 2, terminal_value: none, critic_target: td",
                "critic_target: is read only where learner.terminal_value is critic"),
               ("loss of fewer steps", "horizon: 2, actor_horizon: 1",
                "actor_horizon: is read only where learner.critic_target is expansion"),
               ("loss of more steps", "horizon: 2, critic_target: expansion, actor_horizon: 3",
                "actor_horizon: expected at most learner.horizon, got 3"),
               ("norm below nothing", "horizon: 2, max_grad_norm: -1", "max_grad_norm: expected a number at least 0"))},
        "a model of no steps": (TINY_SVG.replace("horizon: 2", "horizon: 0"),
                                "c.yaml:9: model.members: is read only where learner.horizon is above 0"),
        "a simulator to differentiate": (TINY_SVG.replace("{members", "{kind: simulator, members"),
                                         "c.yaml:9: model.kind: expected one of ensemble, homoscedastic, dropout, bnn, gp, mdn, flow, diffusion, vae, gan, got simulator"),
        "rewards without derivatives": (
            TINY_SVG.replace("Hopper-v5", "InvertedPendulum-v5").replace(", critics: {hidden: [16, 16]}", ", terminal_value: none"),
            "c.yaml:9: model: learner.terminal_value: none learns from derivatives of the reward, which the known one of "
            "InvertedPendulum-v5 does not have; reward: learned does"),
        "precision of steps that nobody takes": (
            TINY_SVG.replace("weight_decay", "\n  precision: bf16, weight_decay"),
            "c.yaml:10: model.precision: expected float32, as what is learned goes through derivatives of the steps"),
        "derivatives of coarse steps": (TINY_ILQR.replace("weight_decay", "\n  precision: bf16, weight_decay"),
                                        "model.precision: expected float32, as plans follow derivatives of the steps"),
        "a reward that optimal control cannot follow": (
            TINY_ILQR.replace("CartPoleSwingUp-v0", "InvertedPendulum-v5"),
            "c.yaml:8: model: iLQR needs derivatives by the actions, which the known reward of InvertedPendulum-v5 does not have"),
        "a simulator without a cost": (TINY_ILQR_SIMULATOR.replace("CartPoleSwingUp-v0", "HalfCheetah-v5"),
                                       "c.yaml:7: model: HalfCheetah-v5 has no cost of its states to minimise"),
        "trajectories that draw": (TINY_ILQR + "propagation: {kind: ts1}\n",
                                   "propagation.kind: expected tsinf or e, as a trajectory to be differentiated draws nothing"),
        "one trajectory that disagrees": (TINY_ILQR + "propagation: {kind: e, disagreement_penalty: 1}\n",
                                          "propagation.disagreement_penalty: is read only where propagation.kind is tsinf"),
        "feedback between plans at every step": (TINY_ILQR + "feedback: true\n", "feedback: is read only where ladder is v0.5 or v1.0"),
        "another's switch": (TINY_DHMBPO.replace("horizon: 3", "horizon: 3, policy: deterministic"),
                             "c.yaml:12: learner.policy: no such key"),
        "a loss of more steps": (TINY_DHMBPO.replace("horizon: 3", "horizon: 3, actor_horizon: 4"),
                                 "c.yaml:12: learner.actor_horizon: expected at most learner.horizon, got 4"),
        "a horizon below 0": (TINY_STEVE.replace("horizon: 2", "horizon: -1"),
                              "c.yaml:12: sac.expansion.horizon: expected an integer at least 0, got -1"),
        "weights of no expansion": (TINY_STEVE.replace("horizon: 2", "horizon: 0"),
                                    "c.yaml:12: sac.expansion.weights: is read only where sac.expansion.horizon is above 0"),
        "a model that nobody reads": (TINY_STEVE.replace("{horizon: 2, weights: inverse_variance}", "{horizon: 0}"),
                                      "with real_ratio: 1 leaves nothing that the model is fitted for; expected one above 0, or algorithm: sac"),
        "anchors without a pull": (TINY_MBPO.replace("weight_decay: [1e-5, 1e-5, 1e-5]", "regularise: anchor, weight_decay: [0, 0, 0]"),
                                   "model.regularise: anchor draws members to their first weights as model.weight_decay says"),
        "prior functions in raw units": (TINY_MBPO.replace("model: {", "model: {regularise: prior_function, "),
                                         "model.normalize_targets: expected true, neither false nor auto, as prior functions are in units of"),
        "a prior's factor without one": (TINY_MBPO.replace("model: {", "model: {prior_scale: 2, "),
                                         "model.prior_scale: is read only where model.regularise is prior_function"),
        "unknown weights": (TINY_STEVE.replace("inverse_variance", "best"),
                            "c.yaml:12: sac.expansion.weights: expected one of last, mean, lambda, inverse_variance, got best"),
        "lambda of other weights": (TINY_STEVE.replace("horizon: 2", "horizon: 2, lambda: 0.5"),
                                    "c.yaml:12: sac.expansion.lambda: is read only where sac.expansion.weights is lambda"),
        "lambda above 1": (TINY_STEVE.replace("inverse_variance", "lambda, lambda: 1.5"),
                           "c.yaml:12: sac.expansion.lambda: expected a number at least 0 and at most 1, got 1.5"),
        "an expansion without a model": (TINY_SAC.replace("batch_size: 32}", "batch_size: 32, expansion: {horizon: 2}}"),
                                         "c.yaml:7: sac.expansion: no such key"),
        "an expansion in the simulator": (
            TINY_MBPO_SIMULATOR.replace("batch_size: 32}", "batch_size: 32, expansion: {horizon: 2}}"),
            "c.yaml:12: sac.expansion.horizon: is read only where model.kind is not simulator"),
        **{f"{key} where nothing is rolled out": (
            TINY_STEVE + text, f"c.yaml:16: {key}: is read only where real_ratio is below 1")
           for key, text in (("epoch_length", "epoch_length: 100\n"), ("rollout.length", "rollout: {length: 2}\n"),
                             ("uncertainty.use", "uncertainty: {use: penalty}\n"))},
        "a simulator that rolls out nothing": (
            TINY_MBPO_SIMULATOR.replace("epoch_length: 100\n", "real_ratio: 1\n").replace(
                "rollout: {start_states: 300, length: [0, 2, 1, 3]}\n", ""),
            "c.yaml:10: model.kind: simulator serves rollouts, of which real_ratio: 1 makes none; expected real_ratio below 1"),
        "uncertainty of the simulator": (TINY_MBPO_SIMULATOR + "uncertainty: {use: penalty}\n",
                                         "c.yaml:16: uncertainty.use: is read only where model.kind is not simulator"),
        "a differentiable simulator": (
            TINY_DHMBPO.replace("model: {", "model: {kind: simulator, "),
            "c.yaml:9: model.kind: expected one of ensemble, homoscedastic, dropout, bnn, gp, mdn, flow, diffusion, vae, gan, got simulator"),
        "section as a number": (TINY_SAC.replace("sac: {hidden: [16, 16], batch_size: 32}", "sac: 3"),
                                "c.yaml:7: sac: expected a section of keys, got 3"),
    }

    def check(self, arguments, expected):
        before = sorted(self.cwd.rglob("*"))
        result = run("train", *arguments, cwd=self.cwd)
        self.assertEqual(result.returncode, 2, result.stderr)
        lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertEqual(result.stderr.splitlines()[-1], lines[0])
        self.assertIn(expected, lines[0])
        self.assertEqual(sorted(self.cwd.rglob("*")), before)

    def test_broken_configs(self):
        self.assertGreaterEqual(len(self.BROKEN), 20)
        for name, (text, expected) in self.BROKEN.items():
            with self.subTest(name):
                self.write(text)
                self.check(["c.yaml"], expected)

    def test_files_that_would_take_all_memory_or_time(self):
        bomb = "algorithm: sac\na0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
        begun = time.monotonic()
        for text, expected in ((bomb, "c.yaml:3: an alias (*name) is not read"),
                               ("algorithm: " + "[" * 100_000, "c.yaml:1: nested deeper than any config is"),
                               ("a: " + "{b: " * 60 + "}" * 60, "nested deeper than any config is"),
                               ("algorithm: sac\n---\nalgorithm: mbpo\n", "c.yaml:2: a second document; expected one"),
                               ("x: " + "9" * 300_000_000, "c.yaml: expected a config of at most 262144 bytes"),
                               (TINY_SAC + "seed: " + "9" * 10_000, "c.yaml:11: seed: expected an integer"),
                               (TINY_SAC + "seed: 1e400", "c.yaml:11: seed: expected an integer"),
                               (TINY_SAC.replace("threads: 1", "threads: 100000000"), "threads: expected auto or an integer")):
            self.write(text)
            result = run("train", "c.yaml", cwd=self.cwd, timeout=60)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(expected, result.stderr)
        self.assertLess(time.monotonic() - begun, 30)
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, 1 << 20)  # KiB, of any of them

    def test_broken_arguments(self):
        self.write(TINY_SAC)
        self.check(["none.yaml"], "none.yaml: no such file")
        self.check(["."], ".: expected a YAML file, got a folder")
        self.check(["c.yaml", "--set", "sac.hiden=[1]"], "--set sac.hiden=[1]: sac.hiden: no such key")
        self.check(["c.yaml", "--set", "seed"], "--set seed: expected KEY=VALUE")
        self.write(TINY_PETS, "p.yaml")
        self.check(["p.yaml", "--set", "model.kind=simulator", "--set", "propagation.particles=4"],
                   "--set propagation.particles=4: propagation.particles: is read only where model.kind is not simulator")
        for seed in ("-1", "", "2.5", "9223372036854775808", "18446744073709551616", "1e16", "abc", "[1]"):
            got = seed or "nothing"
            for flag in (["--seed", seed], ["--set", f"seed={seed}"]):
                where = " ".join(flag)
                self.check(["c.yaml", *flag], f"error: {where}: seed: expected an integer at least 0, got {got}")
        self.check(["--resume", "nowhere"], "nowhere is not the folder of a run")
        self.check([], "expected a config, or --resume")
        self.check(["c.yaml", "--seed", "1", "--set", "seed=2"],
                   "error: --seed 1 and --set seed=2 contradict each other; give one of them")
        (self.cwd / "taken").mkdir()
        (self.cwd / "taken/thesis.txt").write_text("not a run")
        for flag in ([], ["--overwrite"], ["--auto-resume"]):
            self.check(["c.yaml", "--run-dir", "taken", *flag],
                       "error: taken is not the folder of a run, and what is in it is left alone; name another folder with --run-dir")
            self.check(["c.yaml", "--run-dir", "c.yaml", *flag], "error: c.yaml is not a folder; name the run's with --run-dir")
        self.write("base: c.yaml\nseeds: [0]\n", "s.yaml")
        self.check(["s.yaml"], "error: s.yaml:1: base: is a key of a sweep's file; a config has an algorithm")

    def test_broken_command_lines(self):
        self.write(TINY_SAC)
        known = "train, sweep, compare, eval, model, export, record, config, envs, trace, control"
        for words, expected in (
                ("", f"expected a command; known: {known}"),
                ("trian c.yaml", "trian: no such command; did you mean train?"),
                ("zzzzzzz", f"zzzzzzz: no such command; known: {known}"),
                ("train c.yaml --seeed 3", "--seeed: no such option of train; did you mean --seed?"),
                ("train c.yaml --seeed=3", "--seeed: no such option of train; did you mean --seed?"),
                ("train c.yaml d.yaml", "train: d.yaml: not expected"),
                ("control", "control: expected a command; known: lqr, ilqr"),
                ("control lqrr", "lqrr: no such command of control; did you mean lqr?"),
                ("control ilqr --env Swimmer-v5", "Swimmer-v5 has no cost of its states to minimise"),
                ("control ilqr --env Pendulum-v1 --set ilqr.horizon=0", "--set ilqr.horizon=0: ilqr.horizon: expected an integer at least 1"),
                ("control --env X lqr", "--env: expected after the command, as in reverie control lqr --env\n"),
                ("--episodes 3 control lqr", "--episodes: expected after the command, as in reverie control lqr --episodes\n"),
                ("--versio control lqr", "--versio: no such option; did you mean --version?"),
                ("control lqr", "control lqr: --env is required"),
                ("control lqr --env Pendulum-v1 --set env.observe.frames=2", "env.observe: is not read, as optimal control sees the simulator's state"),
                ("control lqr --env Pendulum-v1 --stat 0", "--stat: no such option of control lqr; did you mean --state?"),
                ("train=3", "train=3: no such command"),
                ("--seed 3 train c.yaml", "--seed: expected after the command, as in reverie train --seed\n"),
                ("--run-dir=r train c.yaml", "--run-dir: expected after the command, as in reverie train --run-dir\n"),
                ("--episodes 5 record r", "--episodes: expected after the command, as in reverie record --episodes\n"),
                ("--versio", "--versio: no such option; did you mean --version?"),
                ("--zzzzzzz", "--zzzzzzz: no such option; known: --help, --version"),
                ("eval", "eval: run_dir is required"),
                ("train c.yaml --seed", "train: --seed: "),
                ("train --resume r --overwrite", ("train: --resume excludes --overwrite", "train: --overwrite excludes --resume")),
                ("sweep s.yaml --engine sge", "--engine sge: engine: expected one of local, slurm, got sge")):
            with self.subTest(words):
                result = run(*words.split(), cwd=self.cwd)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                ways = expected if isinstance(expected, tuple) else (expected,)
                self.assertTrue(result.stderr.startswith(tuple(f"error: {way}" for way in ways)), result.stderr)
                self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn("train", run("--help", cwd=self.cwd).stdout)
        self.assertNotIn("->", run("sweep", "--help", cwd=self.cwd).stdout)

    def test_regulators_that_cannot_be(self):
        for words, expected in (
                ("--env Pendulum-v2", "no environment named Pendulum-v2; did you mean Pendulum-v1?"),
                ("--env Pendulum-v1 --state 1", "Pendulum-v1: a state has 2 numbers, got 1"),
                ("--env Pendulum-v1 --state 1,x", "--state [1,x]: state: expected a number, got x"),
                ("--env Pendulum-v1 --state-weights 1,2,3", "--state-weights: expected 2 numbers, or one for all, got 3"),
                ("--env Pendulum-v1 --action-weights 0", "--action-weights: expected numbers above 0"),
                ("--env Pendulum-v1 --action 1.5", "--action: expected numbers in [-1, 1]"),
                ("--env Pendulum-v1 --set env.options.q=1", "--set env.options.q=1: env.options.q: no such key"),
                ("--env Reacher-v5", "Reacher-v5 about that state: no controller that this cost asks for brings every state to rest (a direction")):
            with self.subTest(words):
                result = run("control", "lqr", *words.split(), cwd=self.cwd)
                self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
                self.assertIn(f"error: {expected}", result.stderr)

    @unittest.skipIf(pathlib.Path("/dev/nvidia0").exists(), "there is a GPU")
    def test_cuda_without_a_gpu(self):
        self.write(TINY_SAC)
        self.check(["c.yaml", "--device", "cuda"], "device: cuda was asked for")


class Runs(Case):
    """What a run leaves behind, repeats, survives."""

    def test_a_regulator_balances(self):
        words = "control lqr --env InvertedPendulum-v5 --state-weights 1,10,0.1,0.1 --action-weights 0.9 --episodes 3"
        found = json.loads(run(*words.split(), "--json", cwd=self.cwd).stdout)
        self.assertEqual((found["returns"], found["names"]), ([1000] * 3, ["slider", "hinge", "d slider/dt", "d hinge/dt"]))
        self.assertTrue(all(abs(3 * a - b) < 1e-4 for a, b in zip(found["gains"][0], (1.71887, 12.14529, 2.01463, 1.9015))), found)
        self.assertGreater(max(found["open_loop_moduli"]), 1.19)
        self.assertLess(max(found["closed_loop_moduli"]), 1)
        said = run(*words.split(), cwd=self.cwd)
        self.assertIn("3 episodes: return 1000.00 +- 0.00 (min 1000.00, max 1000.00), length 1000.0", said.stdout)
        self.assertIn("warning: that state is no rest: in one step d hinge/dt changes by 0.0019", said.stderr)  # a bent pole
        upright = run("control", "lqr", "--env", "CartPoleSwingUp-v0", "--state", "0,3.14159265358979,0,0", "--episodes", "1", cwd=self.cwd)
        self.assertEqual((upright.returncode, upright.stderr), (0, ""))
        planned = run("control", "ilqr", "--env", "CartPoleSwingUp-v0", "--episodes", "1", "--json", cwd=self.cwd)
        self.assertGreater(json.loads(planned.stdout)["return_mean"], 182, planned.stderr)
        beside = run("control", "ilqr", "--env", "Pendulum-v1", "--state", "0.1,0.2", "--json", cwd=self.cwd)
        self.assertGreater(json.loads(beside.stdout)["returns"][0], -1, beside.stderr)
        leaning = run("control", "lqr", "--env", "CartPoleSwingUp-v0", "--state", "0,3,0,0", "--episodes", "1", cwd=self.cwd)
        self.assertIn("warning: that state is no rest: in one step theta_dot changes by ", leaning.stderr)

    def test_a_run_directory_is_whole(self):
        self.write(TINY_MBPO)
        self.train("c.yaml", "--seed", 3)
        folder = self.cwd / "runs/mbpo-Hopper-v5/seed-3"
        facts = json.loads((folder / "run.json").read_text())
        self.assertEqual((facts["status"], facts["seed"], facts["algorithm"], facts["env"], facts["env_steps"]),
                         ("finished", 3, "mbpo", "Hopper-v5", 700))
        self.assertIn("LibTorch", facts["libraries"])
        header = (folder / "eval.csv").read_text().splitlines()[0]
        self.assertTrue(header.startswith(
            "env_step,wall_s,return_mean,return_std,return_min,return_max,length_mean,episodes"), header)
        self.assertEqual([row["env_step"] for row in rows(folder / "eval.csv")], ["0", "350", "700"])
        train = rows(folder / "train.csv")
        self.assertEqual([int(row["env_step"]) for row in train], list(range(100, 701, 100)))
        last = train[-1]
        self.assertEqual(int(last["updates"]), 300)
        for column in ("sac/critic_loss", "sac/alpha", "sac/entropy", "sac/q", "model/epochs", "model/holdout_nll_0",
                       "model/elite_0", "model/open_loop_error_1", "rollout/rows", "rollout/length",
                       "rollout/share_ended", "time/updates_s", "rate/env_steps_per_s", "memory/resident_mib"):
            self.assertNotEqual(last[column], "", column)
        for measure in ("max_aleatoric", "ensemble_std", "max_pairwise", "jensen_renyi", "one_vs_rest"):
            self.assertNotEqual(last[f"rollout/uncertainty/{measure}_q90"], "", measure)
        lengths = [row["rollout/length"] for row in train if row["rollout/length"]]
        self.assertEqual([float(x) for x in lengths], [1, 2, 3])
        self.assertEqual(sorted(p.name for p in (folder / "checkpoints").glob("step-*")),
                         ["step-000000500.safetensors", "step-000000700.safetensors"])
        for name in ("config.yaml", "log.txt", "policy.pt", "policy.json"):
            self.assertTrue((folder / name).exists(), name)
        # The resolved config is a config: it repeats the run.
        self.train(folder / "config.yaml", "--run-dir", "again")
        self.assertEqual(comparable(folder / "train.csv"), comparable(self.cwd / "again/train.csv"))

    def test_numbers_of_the_command_line_are_read_as_those_of_a_config(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r")
        for text, value in (("010", 10), ("0x10", 16), ("0o10", 8), ("1e3", 1000), ("9223372036854775807", 2**63 - 1)):
            for flag in (["--seed", text], ["--set", f"seed={text}"]):
                self.train("c.yaml", "--set", "total_steps=201", "--run-dir", "s", "--overwrite", *flag)
                self.assertEqual(json.loads((self.cwd / "s/run.json").read_text())["seed"], value)
        evaluated = [run("eval", "r", "--json", "--episodes", "1", "--seed", seed, cwd=self.cwd).stdout for seed in ("010", "10", "8")]
        self.assertEqual(evaluated[0], evaluated[1])
        self.assertNotEqual(evaluated[0], evaluated[2])
        for arguments, said in ((["eval", "r", "--seed", "-1"], "--seed -1: seed: expected an integer at least 0, got -1"),
                                (["eval", "r", "--seed", ""], "--seed : seed: expected an integer at least 0, got nothing"),
                                (["eval", "r", "--episodes", "0"], "--episodes 0: episodes: expected an integer at least 1"),
                                (["record", "r", "--out", "o", "--width", "1.5"], "--width 1.5: width: expected an integer"),
                                (["record", "r", "--out", "o", "--seed", "2e19"], "--seed 2e19: seed: expected an integer"),
                                (["compare", "r", "--draws", "0x"], "--draws 0x: draws: expected an integer at least 1"),
                                (["compare", "r", "--window", "nan"], "--window nan: window: expected a number above 0 and"),
                                (["compare", "r", "--at", "10,x"], "--at x: at: expected a number, got x"),
                                (["compare", "r", "--reach", "Hopper-v5=inf"], "--reach inf: reach: expected a number"),
                                (["compare", "r", "--live", "--port", "65536"], "--port 65536: port: expected an integer"),
                                (["sweep", "c.yaml", "--jobs", "-1"], "--jobs -1: jobs: expected an integer at least 0")):
            result = run(*arguments, cwd=self.cwd)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (2, 1), result.stderr)
            self.assertIn(said, result.stderr)

    def test_the_same_seed_gives_the_same_run_and_another_does_not(self):
        for name, text in (("sac", TINY_SAC), ("mbpo", TINY_MBPO), ("pets", TINY_PETS), ("dhmbpo", TINY_DHMBPO), ("svg", TINY_SVG),
                           ("ilqr", TINY_ILQR), ("local_models", TINY_LOCAL), ("gps", TINY_GPS), ("constrained_control", TINY_CONSTRAINED),
                           ("dagger", TINY_DAGGER), ("plato", TINY_PLATO)):
            self.write(text)
            for run_dir, seed in (("a", 1), ("b", 1), ("c", 2)):
                self.train("c.yaml", "--seed", seed, "--run-dir", f"{name}-{run_dir}")
            for file in ("train.csv", "eval.csv"):
                a, b, c = (comparable(self.cwd / f"{name}-{x}" / file) for x in "abc")
                self.assertEqual(a, b)
                self.assertNotEqual(a, c)
            # The page says what each of its columns is.
            for column in rows(self.cwd / f"{name}-a/train.csv")[0]:
                parts = column.split("/")
                names = ["/".join(parts[i:]) for i in range(len(parts))]
                self.assertTrue(any(known.fullmatch(x) for known in EXPLAINED for x in names), f"{name}: {column}")

    def threads_of(self, run_dir):
        """What run.json says, which is what config.yaml says."""
        threads = json.loads((self.cwd / run_dir / "run.json").read_text())["threads"]
        self.assertIn(f"threads: {threads}\n", (self.cwd / run_dir / "config.yaml").read_text())
        return threads

    def test_threads_are_those_that_the_process_may_use(self):
        cores = os.sched_getaffinity(0)
        for text in (TINY_SAC, TINY_MBPO, TINY_PETS, TINY_DHMBPO, TINY_SVG, TINY_ILQR):
            self.write(text.replace("threads: 1\n", ""))
            trained = subprocess.run([PROGRAM, "train", "c.yaml", "--run-dir", "r", "--overwrite"], cwd=self.cwd,
                                     preexec_fn=lambda: os.sched_setaffinity(0, {min(cores)}), capture_output=True, text=True)
            self.assertEqual(trained.returncode, 0, trained.stderr)
            self.assertEqual(self.threads_of("r"), 1)
            for threads in ("auto", "0"):
                said = self.train("c.yaml", "--set", f"threads={threads}", "--run-dir", "r", "--overwrite").stderr
                if len(cores) > 1:
                    self.assertRegex(said, rf"threads auto: took \d+ of \d+, as a piece of the work takes [\d.]+ ms on 1, ")
                self.assertLessEqual(self.threads_of("r"), len(cores))

    def test_threads_once_chosen_stay(self):
        self.write(TINY_SAC)
        more = len(os.sched_getaffinity(0)) + 1  # never chosen
        said = self.train("c.yaml", "--run-dir", "r", "--set", f"threads={more}").stderr
        self.write(TINY_SAC.replace("threads: 1", "threads: auto").replace("500", "700"))
        said += self.train("--resume", "r", "--set", "threads=auto", "--set", "total_steps=600").stderr
        self.assertEqual(self.threads_of("r"), more)
        said += self.train("c.yaml", "--run-dir", "r", "--auto-resume").stderr
        self.assertEqual(self.threads_of("r"), more)
        config = self.cwd / "r/config.yaml"  # as older versions wrote it
        config.write_text(config.read_text().replace(f"threads: {more}", "threads: 0"))
        said += self.train("--resume", "r", "--set", "total_steps=800").stderr
        self.assertEqual(self.threads_of("r"), more)
        self.assertNotIn("threads auto", said)
        self.train("--resume", "r", "--set", "total_steps=900", "--set", "threads=2")
        self.assertEqual(self.threads_of("r"), 2)

    def test_what_a_model_learns_is_said_once_and_where_training_begins(self):
        for text in (TINY_MBPO, TINY_PETS):
            self.write(text)
            sets = ("--set", "threads=auto", "--set", "model.precision=bf16")
            said = [self.train("c.yaml", "--run-dir", "r", "--overwrite", *sets).stderr,
                    run("eval", "r", "--episodes", 1, cwd=self.cwd).stderr, run("export", "r", "--out", "p.pt", cwd=self.cwd).stderr]
            self.assertEqual([one.count(": imagined rewards are ") for one in said], [1, 0, 0], said)
            self.assertLessEqual(said[0].count("takes effect on a CPU with AMX"), 1)
            self.assertEqual([one.count("takes effect on a CPU with AMX") for one in said[1:]], [0, 0], said)

    def test_openmp_looks_for_work_for_a_bounded_time(self):
        self.write(TINY_SAC.replace("500", "100000000"))
        for variables, expected in (({}, b"GOMP_SPINCOUNT=10000"), ({"GOMP_SPINCOUNT": "7"}, b"GOMP_SPINCOUNT=7"),
                                    ({"OMP_WAIT_POLICY": "passive"}, None)):
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP", "OMP"))}
            process = subprocess.Popen(["any name", "train", "c.yaml", "--run-dir", "r", "--overwrite"], executable=PROGRAM,
                                       cwd=self.cwd, env={**environment, **variables}, stderr=subprocess.PIPE, text=True)
            for line in process.stderr:
                if "step 0: evaluation" in line:
                    break
            of_process = pathlib.Path("/proc") / str(process.pid)
            now = (of_process / "environ").read_bytes().split(b"\0")
            self.assertEqual([one for one in now if one.startswith(b"GOMP")], [expected] if expected else [])
            self.assertEqual((of_process / "comm").read_text().strip(), PROGRAM.name)
            self.assertEqual((of_process / "cmdline").read_bytes().split(b"\0")[:2], [b"any name", b"train"])
            process.kill()
            process.communicate()

    def test_two_threads_and_layers_of_a_real_size_give_the_same_run_every_time(self):
        # Unasked, the BLAS rounds such products differently in about every third run.
        for i in range(5):
            self.train(SOURCE / "configs/quickstart.yaml", "--run-dir", f"run-{i}", *(x for s in (
                "threads=2", "device=cpu", "total_steps=530", "model.max_epochs=2", "eval.every_steps=530", "eval.episodes=1",
                "log.every_steps=10") for x in ("--set", s)))
            self.assertEqual(comparable(self.cwd / f"run-{i}/train.csv"), comparable(self.cwd / "run-0/train.csv"))

    def test_a_stopped_run_goes_on_as_if_it_had_not_been(self):
        for text, total in ((TINY_MBPO, 1600), (TINY_SAC, 5000), (TINY_DHMBPO, 1300), (TINY_SVG, 1300)):
            name = text.split()[1]
            self.write(text)
            sets = ("--set", f"total_steps={total}", "--set", "env.id=InvertedPendulum-v5", "--set", "eval.every_steps=500")
            self.train("c.yaml", *sets, "--run-dir", name + "-whole")
            stopped = subprocess.Popen([PROGRAM, "train", "c.yaml", *sets, "--run-dir", name + "-parts"], cwd=self.cwd,
                                       stderr=subprocess.DEVNULL)
            log = self.cwd / (name + "-parts") / "train.csv"
            while not log.exists() or len(rows(log)) < 8:  # past exploration
                self.assertIsNone(stopped.poll(), "ended before it could be stopped")
                time.sleep(0.01)
            stopped.send_signal(signal.SIGTERM)
            self.assertEqual(stopped.wait(60), 143)
            facts = json.loads((self.cwd / (name + "-parts") / "run.json").read_text())
            self.assertEqual((facts["status"], facts["reason"]), ("interrupted", "SIGTERM"))
            self.assertLess(facts["env_steps"], total)
            self.train("--resume", name + "-parts")
            for file in ("train.csv", "eval.csv"):
                self.assertEqual(comparable(self.cwd / (name + "-whole") / file),
                                 comparable(self.cwd / (name + "-parts") / file))
            walls = [float(row["wall_s"]) for row in rows(self.cwd / (name + "-parts") / "eval.csv")]
            self.assertEqual(walls, sorted(walls))
            facts = json.loads((self.cwd / (name + "-parts") / "run.json").read_text())
            self.assertEqual((facts["status"], facts["env_steps"]), ("finished", total))

    def test_a_run_of_an_older_version_that_lists_keys_that_are_not_read(self):
        # What was written once of `uncertainty` and of `model` with holdout_ratio: 0.
        unread = {"uncertainty:\n  use: none\n": "  measure: ensemble_std\n  scale: target_std\n  over: elites\n  coefficient: 1\n"
                  "  threshold: q0.99\n  terminal_penalty: 100\n  temperature: 1\n",
                  "  holdout_ratio: 0\n": "  max_holdout: 5000\n  patience: 5\n"}
        self.write(TINY_PETS)
        self.train("c.yaml", "--run-dir", "r")
        config = self.cwd / "r/config.yaml"
        resolved = config.read_text()
        older = resolved
        for place, keys in unread.items():
            self.assertIn(place, older)
            older = older.replace(place, place + keys)
        config.write_text(older)
        for command in (["eval", "r", "--episodes", 1], ["export", "r", "--out", "p.pt"],
                        ["train", "--resume", "r", "--set", "total_steps=340"],
                        ["train", "r/config.yaml", "--run-dir", "again"]):
            with self.subTest(command):
                result = run(*command, cwd=self.cwd)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual((self.cwd / "p.pt").exists(), command[0] != "eval")
                if command[0] == "train":
                    self.assertEqual((self.cwd / command[-1] / "config.yaml" if command[-1] == "again" else config).read_text(),
                                     resolved.replace("330", "340"))
        config.write_text(older)
        self.write(older)
        self.assertIn("model.max_holdout: is read only where", self.train("c.yaml", "--run-dir", "b", code=2).stderr)
        self.assertIn("--set model.patience=3: model.patience: is read only where",
                      self.train("--resume", "r", "--set", "model.patience=3", code=2).stderr)

    def test_an_existing_run_is_refused_or_overwritten(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r")
        self.assertIn("r exists already", self.train("c.yaml", "--run-dir", "r", code=2).stderr)
        self.train("c.yaml", "--run-dir", "r", "--overwrite", "--seed", 9)
        self.assertEqual(json.loads((self.cwd / "r/run.json").read_text())["seed"], 9)

    def test_eval_and_export(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "r", "--set", "env.id=Pendulum-v1")  # whose returns are no whole numbers
        first, second, other = (run("eval", "r", "--episodes", 3, "--seed", seed, "--json", cwd=self.cwd)
                                for seed in (5, 5, 6))
        result = json.loads(first.stdout)
        self.assertEqual(list(result), ["env", "episodes", "return_mean", "return_std", "return_min", "return_max",
                                        "length_mean", "returns"])
        self.assertEqual((result["env"], result["episodes"], len(result["returns"])), ("Pendulum-v1", 3, 3))
        self.assertAlmostEqual(result["return_mean"], sum(result["returns"]) / 3)
        self.assertEqual(first.stdout, second.stdout)
        self.assertNotEqual(first.stdout, other.stdout)
        exported = run("export", "r", "--out", "p.pt", cwd=self.cwd)
        self.assertEqual(exported.returncode, 0, exported.stderr)
        self.assertEqual((self.cwd / "p.json").read_text(), (self.cwd / "r/policy.json").read_text())
        self.assertTrue((self.cwd / "p.pt").exists())
        self.assertEqual(run("eval", "nowhere", cwd=self.cwd).returncode, 2)
        self.assertEqual(run("export", "r", "--out", "p.onnx", cwd=self.cwd).returncode, 2)


class Uncertainty(Case):
    """Every use with every measure: 300 steps past exploration, every kind of update."""

    def test_every_use_and_measure(self):
        for use in ("none", "penalty", "terminate", "truncate", "weight", "mask"):
            for measure in ("max_aleatoric", "ensemble_std", "max_pairwise", "jensen_renyi", "one_vs_rest"):
                if use == "none" and measure != "ensemble_std":
                    continue
                with self.subTest(use=use, measure=measure):
                    self.write(TINY_MBPO)
                    measured = ["--set", f"uncertainty.measure={measure}"] if use != "none" else []
                    self.train("c.yaml", "--set", f"uncertainty.use={use}", *measured, "--set", "eval.episodes=1", "--run-dir", "r", "--overwrite")
                    train = rows(self.cwd / "r/train.csv")
                    self.assertEqual(int(train[-1]["updates"]), 300)
                    self.assertEqual(sum(1 for row in train if row["model/epochs"]), 3)
                    least = 300 if use != "mask" else 75
                    self.assertTrue(all(float(row["rollout/rows"]) >= least for row in train if row["rollout/rows"]))
                    over = [float(row["rollout/share_over_threshold"]) for row in train
                            if row.get("rollout/share_over_threshold")]
                    if use in ("terminate", "truncate"):
                        self.assertEqual(len(over), 3)
                        self.assertGreater(max(over), 0)

    def test_options_change_the_run(self):
        def last(*sets):
            arguments = [x for s in sets for x in ("--set", s)]
            self.write(TINY_MBPO)
            self.train("c.yaml", *arguments, "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
            return comparable(self.cwd / "r/train.csv")[-1]
        penalty = "uncertainty.use=penalty"
        base = last(penalty)
        for change in ("uncertainty.coefficient=5", "uncertainty.scale=raw", "uncertainty.over=all"):
            self.assertNotEqual(last(penalty, change), base, change)
        self.assertNotEqual(last("uncertainty.use=mask", "uncertainty.coefficient=0.1"), last("uncertainty.use=mask"))
        base = last("uncertainty.use=terminate")
        for change in ("uncertainty.threshold=q0.5", "uncertainty.threshold=0.1", "uncertainty.terminal_penalty=5"):
            self.assertNotEqual(last("uncertainty.use=terminate", change), base, change)
        self.assertNotEqual(last("uncertainty.use=weight", "uncertainty.temperature=0.1"), last("uncertainty.use=weight"))
        base = last()
        for change in ("real_ratio=0.5", "updates_per_step=2", "epoch_length=50", "replay_capacity=300",
                       "model.retrain_every=50", "model.target=next_obs", "model.normalize_targets=true",
                       "model.learning_rate=1e-2", "model.batch_size=64", "model.holdout_ratio=0.4", "model.deterministic=true",
                       "model.max_holdout=20", "model.max_epochs=3", "model.weight_decay=[1, 1, 1]", "model.elites=3",
                       "rollout.start_states=200", "rollout.length=2", "sac.learning_rate=1e-2", "sac.discount=0.9",
                       "sac.batch_size=64", "sac.target_entropy=-1", "sac.tau=0.5", "exploration_steps=500"):
            self.assertNotEqual(last(change), base, change)
        for change in ("model.precision=bf16x2", "model.precision=bf16"):
            changed = last(change) != base
            self.assertEqual("products are float32 here" in (self.cwd / "r/log.txt").read_text(), not changed, change)


class ReportCard(Case):
    """`reverie model`, and what of it is logged at each fit."""

    def test_every_algorithm_with_a_model(self):
        # DHMBPO fits behind its last step; what it has seen is then all there is.
        mixtures = re.sub(r"model: {[^}]*}", "model: {kind: mdn, members: 2, components: 2, hidden: [16], weight_decay: [0, 0], max_epochs: 2, retrain_every: 100}",
                          TINY_MBPO)
        dropout = re.sub(r"model: {[^}]*}", "model: {kind: dropout, draws: 2, hidden: [16], max_epochs: 2, retrain_every: 100}", TINY_MBPO)
        few = dropout.replace("exploration_steps: 400", "exploration_steps: 60").replace("total_steps: 700", "total_steps: 330")
        for text, holds_out, newest in ((TINY_MBPO, True, "unseen"), (TINY_PETS, False, "unseen"), (TINY_ILQR, False, "unseen"), (mixtures, True, "unseen"),
                                        (dropout, True, "unseen"), (dropout.replace("dropout", "bnn"), True, "unseen"),
                                        (dropout.replace("kind: dropout, draws: 2", "kind: flow, members: 2, couplings: 2"), True, "unseen"),
                                        (dropout.replace("kind: dropout, draws: 2", "kind: diffusion, members: 2, steps: 2"), True, "unseen"),
                                        (dropout.replace("kind: dropout, draws: 2", "kind: vae, members: 2, warm_up: 2"), True, "unseen"),
                                        (dropout.replace("kind: dropout, draws: 2", "kind: gan, members: 2"), True, "unseen"),
                                        (few.replace("kind: dropout, draws: 2, hidden: [16], max_epochs: 2", "kind: gp, draws: 2, iterations: 5"), False, "unseen"),
                                        (TINY_SVG, True, "unseen"), (TINY_DHMBPO, True, "newest")):
            with self.subTest(text.splitlines()[0]):
                self.write(text)
                self.train("c.yaml", "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
                before = {file: file.stat().st_mtime_ns for file in (self.cwd / "r").rglob("*")}
                asked = run("model", "r", "--json", cwd=self.cwd)
                self.assertEqual(asked.returncode, 0, asked.stderr)
                card = json.loads(asked.stdout)
                self.assertEqual({file: file.stat().st_mtime_ns for file in (self.cwd / "r").rglob("*")}, before)
                exams = ["held_out"] * holds_out + [newest]
                self.assertEqual([key for key in card if key in ("held_out", "unseen", "newest", "data")], exams)
                for key in exams:
                    self.assertGreater(card[key]["rows"], 0)
                    self.assertEqual(len(card[key]["targets"]["crps"]), len(card["targets"]))
                    density = ("nll_bound",) if "kind: vae" in text else () if "kind: gan" in text else ("nll", "log_likelihood_ratio")
                    for number in (*density, "crps", "coverage_90", "width_90", "calibration_error"):
                        self.assertIn(number, card[key])
                self.assertIn("trajectory_coverage_5", card[newest])
                self.assertEqual(list(card["novelty"]), ["uniform_actions", "pushed_states"] + exams[1:])
                # At each fit but the first, of rows that it has not seen.
                fits = [row for row in rows(self.cwd / "r/train.csv") if row["model/train_rows"]]
                self.assertEqual([bool(row.get("model/unseen/crps")) for row in fits], [False] + [True] * (len(fits) - 1))
                table = run("model", "r", "--targets", cwd=self.cwd)
                for words in (newest, *density[-1:], "states pushed by 3 deviations", "obs 0"):
                    self.assertIn(words, table.stdout)

    def test_points_have_no_density(self):
        self.write(TINY_PETS)
        self.train("c.yaml", "--set", "model.deterministic=true", "--run-dir", "r")
        card = json.loads(run("model", "r", "--json", cwd=self.cwd).stdout)
        self.assertNotIn("nll", card["unseen"])
        self.assertIn("crps", card["unseen"])
        # As many rows as there are.
        everything = run("model", "r", "--rows", "9223372036854775807", "--json", cwd=self.cwd)
        self.assertEqual(json.loads(everything.stdout), card, everything.stderr)

    def test_another_run_as_data(self):
        self.write(TINY_PETS)
        self.train("c.yaml", "--run-dir", "r")
        self.train("c.yaml", "--run-dir", "other", "--seed", "1")
        asked = run("model", "r", "--data", "other", "--rows", "100", "--json", cwd=self.cwd)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        card = json.loads(asked.stdout)
        self.assertEqual(card["data"]["rows"], 100)
        self.assertIn("data", card["novelty"])
        self.assertEqual(run("model", "r", "--data", "other", "--rows", "100", "--json", cwd=self.cwd).stdout, asked.stdout)
        self.write(TINY_MBPO)
        self.train("c.yaml", "--run-dir", "m", "--set", "eval.episodes=1")
        for arguments, words in ((("r", "--data", "m"), "--data m: expected a run of CartPoleSwingUp-v0, got one of Hopper-v5"),
                                 (("r", "--data", "r"), "--data r: expected another run than that of the model"),
                                 (("r", "--rows", "0"), "--rows 0: rows: expected an integer at least 1, got 0"),
                                 (("nowhere",), "nowhere is not the folder of a run")):
            refused = run("model", *arguments, cwd=self.cwd)
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn(words, refused.stderr)

    def test_a_run_without_a_model(self):
        self.write(TINY_SAC)
        self.train("c.yaml", "--run-dir", "s", "--set", "eval.episodes=1")
        refused = run("model", "s", cwd=self.cwd)
        self.assertEqual((refused.returncode, "s learned no model" in refused.stderr), (2, True), refused.stderr)


class BesideRollouts(Case):
    """MBPO whose critics' targets are expanded, and MBPO in the simulator."""

    def train_rows(self, text, *sets):
        self.write(text)
        self.train("c.yaml", *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        return comparable(self.cwd / "r/train.csv")

    def test_sac_with_an_expansion_rolls_nothing_out(self):
        train = self.train_rows(TINY_STEVE)
        self.assertEqual(int(train[-1]["updates"]), 300)
        self.assertEqual(sum(1 for row in train if row["model/epochs"]), 3)
        self.assertFalse(any(name.startswith("rollout/") for row in train for name in row))
        # What a file says of rollouts is left out where none are asked for afterwards.
        self.assertEqual(self.train_rows(TINY_MBPO, "real_ratio=1", "sac.expansion.horizon=2",
                                         "sac.expansion.weights=inverse_variance"), train)

    def test_options_change_the_run(self):
        horizon = "sac.expansion.horizon=2"
        plain, last = self.train_rows(TINY_MBPO)[-1], self.train_rows(TINY_MBPO, horizon)[-1]
        self.assertNotEqual(last["sac/critic_loss"], plain["sac/critic_loss"])
        weighted = [last["sac/critic_loss"]]
        for weights in (["mean"], ["lambda"], ["lambda", "sac.expansion.lambda=0.9"], ["inverse_variance"]):
            weights[0] = "sac.expansion.weights=" + weights[0]
            weighted.append(self.train_rows(TINY_MBPO, horizon, *weights)[-1]["sac/critic_loss"])
        self.assertEqual(len(set(weighted)), 5)
        self.assertNotEqual(self.train_rows(TINY_MBPO, "sac.expansion.horizon=3")[-1], last)

    def test_rollouts_of_the_simulator(self):
        train = self.train_rows(TINY_MBPO_SIMULATOR)
        self.assertEqual(int(train[-1]["updates"]), 300)
        rolled = [row for row in train if row.get("rollout/rows")]
        self.assertEqual(len(rolled), 3)
        self.assertTrue(all(float(row["rollout/rows"]) >= 300 for row in rolled))
        self.assertFalse(any(name.startswith("model/") for row in train for name in row))
        for change in ("model.retrain_every=50", "rollout.start_states=200", "rollout.length=2", "real_ratio=0.5"):
            self.assertNotEqual(self.train_rows(TINY_MBPO_SIMULATOR, change)[-1], train[-1], change)
        # What the file says of the model that it has is left out.
        self.assertEqual(self.train_rows(TINY_MBPO, "model.kind=simulator"), train)


class DoubleHorizon(Case):
    """DHMBPO: what an iteration does, and that its options change the run."""

    def last(self, *sets):
        self.write(TINY_DHMBPO)
        self.train("c.yaml", *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        return comparable(self.cwd / "r/train.csv")[-1]

    def test_an_iteration(self):
        self.last()
        train = rows(self.cwd / "r/train.csv")
        # 200 updates after the first fit, 100 after each other; the last fit is made after the last step.
        self.assertEqual([int(row["updates"]) for row in train], [0, 0, 0, 200, 300, 400, 500])
        self.assertEqual([int(row["env_step"]) for row in train if row["model/epochs"]], [400, 500, 600, 700])
        # 300 states before every tenth of 200 updates, and 30 x 25 / 4 before the critics' own.
        self.assertGreaterEqual(float(train[3]["rollout/states"]), 20 * 300 + 187)
        self.assertEqual([bool(row["model/open_loop_error_1"]) for row in train[3:]], [False, True, True, True])
        self.assertTrue(all(row["learner/actor_loss"] for row in train[3:]))
        self.assertTrue((self.cwd / "r/policy.json").exists())

    def test_options_change_the_run(self):
        short = ("total_steps=410", "log.every_steps=410")  # one iteration
        base = self.last(*short)
        for change in ("updates_per_step=2", "critic_updates=3", "first_iteration=1", "replay_capacity=300",
                       "model.retrain_every=50", "model.members=2", "model.layer_norm=false", "model.learning_rate=1e-2",
                       "model.batch_size=32", "model.weight_decay=[1, 1, 1]", "model.dropout=[0, 0, 0]", "model.noise_decay=1",
                       "model.holdout_ratio=0.4", "model.max_rows=100", "model.epoch_minibatches=2", "model.patience=3",
                       "model.first_fit=4", "model.kind=ensemble", "rollout.start_states=20", "rollout.length=3",
                       "rollout.every_updates=5", "rollout.retain=2", "learner.hidden=[8]", "learner.horizon=2", "learner.actor_horizon=0",
                       "learner.batch_size=16", "learner.learning_rate=1e-3", "learner.discount=0.9", "learner.initial_alpha=1",
                       "learner.target_entropy=0", "learner.critics.members=2", "learner.critics.hidden=[8]",
                       "learner.critics.layer_norm=false", "learner.critics.dropout=0.1", "learner.critics.learning_rate=1e-3",
                       "learner.critics.tau=0.5"):
            ensemble = ["model.max_epochs=2", "model.elites=3"] if change == "model.kind=ensemble" else []
            self.assertNotEqual(self.last(*short, change, *ensemble), base, change)
        self.assertNotEqual(self.last(*short, "env.id=Pendulum-v1", "model.reward=known"),
                            self.last(*short, "env.id=Pendulum-v1"))

    def test_mbpo_with_its_model(self):
        self.write(TINY_MBPO.replace("{members: 3, elites: 2, hidden: [16, 16], weight_decay: [1e-5, 1e-5, 1e-5], retrain_every: 100, max_epochs: 2,",
                                     "{kind: homoscedastic, members: 3, hidden: [16, 16], weight_decay: [0, 0, 0], dropout: [0, 0, 0], patience: 1, retrain_every: 100,"))
        for use in ("none", "terminate"):
            self.train("c.yaml", "--set", f"uncertainty.use={use}", "--run-dir", "r", "--overwrite")
            last = rows(self.cwd / "r/train.csv")[-1]
            self.assertGreaterEqual(float(last["rollout/rows"]), 300)
            self.assertGreater(float(last["model/minibatches"]), 0)  # which the other ensemble does not report

    def test_pets_with_its_model(self):
        self.write(TINY_PETS.replace("model: {members: 2, elites: 2, hidden: [16, 16], weight_decay: [1e-5, 1e-5, 1e-5], retrain_every: 60, max_epochs: 2}",
                                     "model: {kind: homoscedastic, members: 2, hidden: [16, 16], weight_decay: [0, 0, 0], dropout: [0, 0, 0], patience: 1, retrain_every: 60}"))
        for propagation in ("ts1", "ds"):
            said = self.train("c.yaml", "--set", f"propagation.kind={propagation}", "--run-dir", "r", "--overwrite").stderr
            self.assertIn("no policy.pt: model.kind: homoscedastic cannot be exported within a planner; expected one of ensemble, dropout, bnn", said)
            train = rows(self.cwd / "r/train.csv")
            self.assertTrue(any(row.get("model/minibatches") for row in train))
            self.assertEqual(float(train[-1]["planner/share_not_finite"]), 0)

    def test_stopped_twice_in_an_iteration(self):
        self.write(TINY_DHMBPO)
        sets = ("--set", "first_iteration=20", "--set", "total_steps=420", "--set", "log.every_steps=10")
        self.train("c.yaml", *sets, "--run-dir", "whole")
        for words in (("c.yaml", *sets, "--run-dir", "parts"), ("--resume", "parts")):
            stopped = subprocess.Popen([PROGRAM, "train", *words], cwd=self.cwd, stderr=subprocess.PIPE, text=True)
            for line in stopped.stderr:
                if ("390 of" if words[0] == "c.yaml" else "going on from") in line:
                    break
            time.sleep(0.5)  # within the 2,000 updates after step 400
            stopped.send_signal(signal.SIGTERM)
            stopped.communicate()
            facts = json.loads((self.cwd / "parts/run.json").read_text())
            self.assertEqual((stopped.returncode, facts["status"], facts["env_steps"]), (143, "interrupted", 399))
        self.train("--resume", "parts")
        for file in ("train.csv", "eval.csv"):
            self.assertEqual(comparable(self.cwd / "whole" / file), comparable(self.cwd / "parts" / file))
        self.assertEqual(len(json.loads((self.cwd / "parts/run.json").read_text())["resumed"]), 2)


class ValueGradients(Case):
    """SVG: when it fits and updates, its kinds, and that its options change the run."""

    def last(self, *sets, text=TINY_SVG):
        self.write(text)
        self.train("c.yaml", *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        return comparable(self.cwd / "r/train.csv")[-1]

    def test_fits_and_updates(self):
        self.last("updates_per_step=2")
        train = rows(self.cwd / "r/train.csv")
        self.assertEqual([int(row["updates"]) for row in train], [0, 0, 0, 0, 200, 400, 600])
        self.assertEqual([int(row["env_step"]) for row in train if row["model/epochs"]], [500, 600, 700])
        self.assertEqual([row["model/train_rows"] for row in train[4:]], ["320", "400", "480"])
        self.assertTrue(all(row["learner/actor_loss"] and row["learner/critic_loss"] for row in train[4:]))

    def test_every_kind(self):
        short = ("total_steps=405", "log.every_steps=405")
        rewards = TINY_SVG.replace(", critics: {hidden: [16, 16]}", ", terminal_value: none")
        without_model = re.sub(r"model: {.*}\n", "", TINY_SVG)
        homoscedastic = re.sub(r"model: {.*}\n", "model: {kind: homoscedastic, members: 3, hidden: [16, 16], weight_decay: [0, 0, 0], "
                               "dropout: [0, 0, 0], patience: 1, retrain_every: 100}\n", TINY_SVG)
        for name, text, sets in (
                ("SVG(0)", without_model, ["learner.horizon=0"]),
                ("SVG(1)", TINY_SVG, ["learner.horizon=1", "learner.entropy=none", "learner.noise=inferred"]),
                ("SVG(1) without a model's noise", TINY_SVG, ["learner.horizon=1", "learner.entropy=none", "learner.noise=inferred",
                                                              "model.deterministic=true"]),
                ("MAAC", TINY_SVG, ["learner.horizon=3", "learner.entropy=first", "learner.critic_target=expansion"]),
                ("backpropagation through time", rewards, ["learner.policy=deterministic", "model.deterministic=true",
                                                           "env.id=Pendulum-v1", "model.reward=known"]),
                ("its deterministic policy with critics", TINY_SVG, ["learner.policy=deterministic"]),
                ("another model", homoscedastic, [])):
            with self.subTest(name):
                last = self.last(*short, *sets, text=text)
                self.assertEqual(int(last["updates"]), 5)
                self.assertNotEqual(last["learner/actor_loss"], "")
                self.assertEqual("learner/critic_loss" in last, "terminal_value: none" not in text)
                self.assertEqual(any(column.startswith("model/") for column in last), text != without_model)
                policy = json.loads((self.cwd / "r/policy.json").read_text())
                self.assertEqual("std" in policy, "learner.policy=deterministic" not in sets)
                evaluated = run("eval", "r", "--episodes", 1, "--json", cwd=self.cwd)
                self.assertEqual(evaluated.returncode, 0, evaluated.stderr)

    def test_options_change_the_run(self):
        def differ(common, *changes):
            short = ("total_steps=410", "log.every_steps=410")
            base = self.last(*short, *common)
            for change in changes:
                self.assertNotEqual(self.last(*short, *common, change), base, (common, change))
        differ([], "updates_per_step=2", "replay_capacity=300", "model.retrain_every=5", "model.members=4", "model.deterministic=true",
               "model.max_epochs=1", "learner.policy=deterministic", "learner.hidden=[8]", "learner.horizon=3",
               "learner.terminal_value=none", "learner.critic_target=expansion", "learner.batch_size=16", "learner.learning_rate=1e-3",
               "learner.max_grad_norm=0.01", "learner.discount=0.9", "learner.entropy=first", "learner.entropy=none",
               "learner.initial_alpha=1", "learner.target_entropy=0", "learner.critics.members=3", "learner.critics.hidden=[8]",
               "learner.critics.layer_norm=false", "learner.critics.dropout=0.1", "learner.critics.learning_rate=1e-3",
               "learner.critics.tau=0.5")
        differ(["learner.policy=deterministic"], "learner.exploration_std=0.5")
        differ(["learner.horizon=1", "learner.entropy=none"], "learner.noise=inferred")
        differ(["learner.critic_target=expansion"], "learner.actor_horizon=1")
        differ(["env.id=Pendulum-v1"], "model.reward=learned")


class Planning(Case):
    """Every planner with every kind of model and propagation, and the ladder."""

    def last(self, *sets, text=TINY_PETS):
        arguments = [x for s in sets for x in ("--set", s)]
        self.write(text)
        self.train("c.yaml", *arguments, "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        return comparable(self.cwd / "r/train.csv")[-1]

    def test_mixtures_dropout_and_bayesian_networks(self):
        mixtures = "model: {kind: mdn, members: 2, components: 2, hidden: [16, 16], weight_decay: [0, 0, 0], max_epochs: 2, retrain_every: 60}"
        self.write(re.sub(r"model: {[^}]*}", mixtures, TINY_PETS))
        for change in ("propagation.kind=ts1", "propagation.kind=ds", "uncertainty.use=penalty"):
            said = self.train("c.yaml", "--set", change, "--run-dir", "r", "--overwrite").stderr
            self.assertIn("no policy.pt: model.kind: mdn cannot be exported within a planner; expected one of ensemble, dropout, bnn", said)
            train = rows(self.cwd / "r/train.csv")
            self.assertTrue(any(row.get("model/holdout_nll_1") for row in train))
            self.assertEqual(float(train[-1]["planner/share_not_finite"]), 0)
        self.write(re.sub(r"model: {[^}]*}", mixtures, TINY_MBPO))

        def last(change):
            self.train("c.yaml", "--set", change, "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
            return comparable(self.cwd / "r/train.csv")[-1]
        base = last("uncertainty.use=none")
        self.assertGreaterEqual(float(base["rollout/rows"]), 300)
        for change in ("uncertainty.use=penalty", "model.components=3", "model.members=3", "model.learning_rate=1e-2", "model.batch_size=64",
                       "model.weight_decay=[1, 1, 1]", "model.holdout_ratio=0.4", "model.max_epochs=3", "model.target=next_obs",
                       "model.hidden=[8, 8]", "model.max_holdout=20"):
            self.assertNotEqual(last(change), base, change)
        self.write(re.sub(r"model: {[^}]*}", "model: {kind: dropout, draws: 2, hidden: [16, 16], max_epochs: 2, retrain_every: 60}", TINY_MBPO))
        base = last("uncertainty.use=none")
        for change in ("uncertainty.use=penalty", "model.draws=3", "model.rate=0.3", "model.learn_rate=false", "model.length_scale=1",
                       "model.learning_rate=1e-2", "model.batch_size=64", "model.holdout_ratio=0.4", "model.max_epochs=3", "model.target=next_obs",
                       "model.hidden=[8, 8]", "model.max_holdout=20"):
            self.assertNotEqual(last(change), base, change)
        self.write(re.sub(r"model: {[^}]*}", "model: {kind: flow, members: 2, couplings: 2, hidden: [16, 16], max_epochs: 2, retrain_every: 60}", TINY_MBPO))
        base = last("uncertainty.use=none")
        for change in ("uncertainty.use=penalty", "model.members=3", "model.couplings=3", "model.transform=affine", "model.bins=4",
                       "model.learning_rate=1e-2", "model.batch_size=32", "model.holdout_ratio=0.4", "model.max_epochs=3",
                       "model.target=next_obs", "model.hidden=[8, 8]", "model.max_holdout=20"):
            self.assertNotEqual(last(change), base, change)
        base = last("uncertainty.use=penalty")
        self.train("c.yaml", "--set", "uncertainty.use=penalty", "--set", "model.moment_samples=8", "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        self.assertNotEqual(comparable(self.cwd / "r/train.csv")[-1], base)
        self.write(re.sub(r"model: {[^}]*}", "model: {kind: diffusion, members: 2, steps: 2, hidden: [16, 16], max_epochs: 2, retrain_every: 60}", TINY_MBPO))
        base = last("uncertainty.use=none")
        for change in ("model.process=edm", "model.steps=3", "model.hidden=[8, 8]"):
            self.assertNotEqual(last(change), base, change)
        self.write(re.sub(r"model: {[^}]*}", "model: {kind: vae, members: 2, samples: 1, hidden: [16, 16], warm_up: 2, max_epochs: 2, retrain_every: 60}", TINY_MBPO))
        base = last("uncertainty.use=none")
        for change in ("model.samples=2", "model.latents=3", "model.free_bits=1", "model.warm_up=50", "model.hidden=[8, 8]"):
            self.assertNotEqual(last(change), base, change)
        self.write(re.sub(r"model: {[^}]*}", "model: {kind: gan, members: 2, hidden: [16, 16], max_epochs: 2, retrain_every: 60}", TINY_MBPO))
        base = last("uncertainty.use=none")
        for change in ("model.latents=3", "model.critic_steps=2", "model.penalty=1", "model.noise_floor=0.1", "model.hidden=[8, 8]"):
            self.assertNotEqual(last(change), base, change)
        self.write(re.sub(r"model: {[^}]*}", "model: {kind: gp, draws: 2, features: 50, iterations: 5, retrain_every: 60}", TINY_MBPO)
                   .replace("exploration_steps: 400", "exploration_steps: 60").replace("total_steps: 700", "total_steps: 130"))
        base = last("uncertainty.use=none")
        for change in ("uncertainty.use=penalty", "model.draws=3", "model.features=60", "model.iterations=2", "model.restarts=0",
                       "model.exact_rows=50", "model.target=next_obs"):
            self.assertNotEqual(last(change), base, change)
        self.train("c.yaml", "--set", "model.exact_rows=50", "--set", "model.inducing=20", "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        self.assertNotEqual(comparable(self.cwd / "r/train.csv")[-1], last("model.exact_rows=50"))
        self.write(re.sub(r"model: {[^}]*}", "model: {kind: bnn, draws: 2, hidden: [16, 16], max_epochs: 3, retrain_every: 60}", TINY_MBPO))
        base = last("uncertainty.use=none")
        for change in ("uncertainty.use=penalty", "model.draws=3", "model.prior_scale=0.1", "model.kl_scale=1", "model.warm_up=2",
                       "model.estimator=flipout", "model.samples=2", "model.learning_rate=1e-2", "model.batch_size=32",
                       "model.holdout_ratio=0.4", "model.max_epochs=2", "model.target=next_obs", "model.hidden=[8, 8]", "model.hidden=[]",
                       "model.max_holdout=20"):
            self.assertNotEqual(last(change), base, change)
        base = last("model.samples=2")
        self.train("c.yaml", "--set", "model.samples=2", "--set", "model.alpha=0.5", "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        self.assertNotEqual(comparable(self.cwd / "r/train.csv")[-1], base)
        # Their networks are an ensemble's: the planner is exported.
        for kind in ("dropout", "bnn"):
            self.write(re.sub(r"model: {[^}]*}", f"model: {{kind: {kind}, draws: 2, hidden: [16, 16], max_epochs: 2, retrain_every: 60}}", TINY_PETS))
            self.train("c.yaml", "--run-dir", "r", "--overwrite")
            self.assertTrue((self.cwd / "r/policy.pt").exists(), kind)

    def test_every_planner_model_and_propagation(self):
        planners = {"random_shooting": "{population: 20}", "cem": "{population: 10, elites: 3, iterations: 2}",
                    "icem": "{population: 10, elites: 3, iterations: 2}", "mppi": "{population: 20}",
                    "gradient": "{restarts: 2, iterations: 2}",
                    "ilqs": "{sampler: {kind: random_shooting, options: {population: 10}}}"}
        text = TINY_PETS.replace("{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}",
                                 "{kind: PLANNER, horizon: 3, options: OPTIONS}")
        for planner, options in planners.items():
            for model in ("model.kind=ensemble", "model.deterministic=true", "model.kind=simulator"):
                for propagation in ("ts1", "tsinf", "ds", "e"):
                    if model == "model.kind=simulator" and (planner == "gradient" or propagation != "ts1"):
                        continue
                    with self.subTest(planner=planner, model=model, propagation=propagation):
                        moved = [f"propagation.kind={propagation}", f"propagation.particles={1 if propagation == 'e' else 2}"]
                        last = self.last(model, *(moved if model != "model.kind=simulator" else []),
                                         "total_steps=250", "log.every_steps=250", "env.max_episode_steps=50",
                                         text=text.replace("PLANNER", planner).replace("OPTIONS", options))
                        self.assertEqual(float(last["planner/searches"]), 50)
                        self.assertEqual(float(last["planner/share_not_finite"]), 0)
                        self.assertEqual(int(last["updates"]), 0 if model == "model.kind=simulator" else 1)

    def test_columns_that_do_not_vary_leave_plans_finite(self):
        # Pusher's goal stands in its observation and never moves.
        for propagation in ("ts1", "tsinf", "ds", "e"):
            last = self.last("env.id=Pusher-v5", "exploration_steps=500", "total_steps=505", "log.every_steps=505",
                             f"propagation.kind={propagation}", f"propagation.particles={1 if propagation == 'e' else 2}",
                             "planner.horizon=25", "eval.every_steps=1000")
            self.assertEqual((propagation, float(last["planner/searches"])), (propagation, 5))
            self.assertEqual((propagation, float(last["planner/share_not_finite"])), (propagation, 0))

    def test_the_ladder(self):
        for ladder, searches, fits in (("v0.5", 0, 3), ("v1.0", 44, 3), ("v1.5", 130, 3)):
            last = self.last(f"ladder={ladder}", "log.every_steps=330")
            self.assertEqual((ladder, float(last["planner/searches"])), (ladder, searches))
            self.assertEqual(int(last["updates"]), fits)
            self.assertEqual(float(last["model/train_rows"]), 320)

    def test_options_change_the_run(self):
        def evaluated(*sets, text=TINY_PETS):
            self.last("env.max_episode_steps=100", *sets, text=text)
            return comparable(self.cwd / "r/train.csv"), comparable(self.cwd / "r/eval.csv")
        base = evaluated()
        for change in ("ladder=v0.5", "ladder=v1.0", "model.deterministic=true", "model.kind=simulator", "model.retrain_every=50",
                       "model.reward=learned", "model.max_epochs=3", "model.batch_size=16", "propagation.kind=ts1",
                       "propagation.particles=4", "planner.horizon=4", "planner.options.population=20",
                       "planner.options.elites=2", "planner.options.iterations=3", "planner.options.alpha=0.5",
                       "model.holdout_ratio=0.2", "uncertainty.use=penalty", "replay_capacity=210"):
            self.assertNotEqual(evaluated(change), base, change)
        options = {"icem": ("{population: 10, elites: 3, iterations: 3}", "population=15", "elites=2", "iterations=2", "alpha=0.5",
                            "init_std=0.2", "gamma=1.1", "keep=1", "noise_beta=0.5"),
                   "mppi": ("{population: 10}", "population=15", "iterations=2", "sigma=0.2", "beta=0.1", "lambda=1"),
                   "random_shooting": ("{population: 10}", "population=15"),
                   "gradient": ("{restarts: 2, iterations: 2}", "restarts=3", "iterations=3", "learning_rate=0.3"),
                   "ilqs": ("{sampler: {kind: cem, options: {population: 10, elites: 3, iterations: 2}}}",
                            "sampler.kind=random_shooting", "sampler.options.elites=2", "sample_every=3", "iterations=3")}
        for planner, (values, *changes) in options.items():
            text = TINY_PETS.replace("{kind: cem, horizon: 3, options: {population: 10, elites: 3, iterations: 2}}",
                                     f"{{kind: {planner}, horizon: 5, options: {values}}}")
            base = evaluated(text=text)
            for change in changes:
                self.assertNotEqual(evaluated(f"planner.options.{change}", text=text), base, (planner, change))

    def test_a_checkpoint_evaluates_with_its_plans(self):
        self.write(TINY_PETS)
        self.train("c.yaml", "--run-dir", "r")
        first, second, other = (run("eval", "r", "--episodes", 2, "--seed", seed, "--json", cwd=self.cwd)
                                for seed in (5, 5, 6))
        self.assertEqual((first.returncode, json.loads(first.stdout)["episodes"]), (0, 2), first.stderr)
        self.assertEqual(first.stdout, second.stdout)
        self.assertNotEqual(first.stdout, other.stdout)

    def test_a_planner_is_exported_or_says_why_not(self):
        for planner in (None, "random_shooting", "mppi"):
            options = [] if planner is None else ["--set", f"planner.kind={planner}"]
            text = TINY_PETS if planner is None else TINY_PETS.replace(", elites: 3, iterations: 2}}", "}}")
            self.write(text)
            self.train("c.yaml", "--run-dir", "r", "--overwrite", *options)
            exported = run("export", "r", "--out", "p.pt", cwd=self.cwd)
            self.assertEqual((exported.returncode, exported.stdout), (0, "wrote p.pt\n"), exported.stderr)
            for folder, name in (("r", "policy"), (".", "p")):
                self.assertTrue((self.cwd / folder / f"{name}.pt").exists())
                self.assertFalse((self.cwd / folder / f"{name}.json").exists())
        self.write(TINY_PETS)
        for change, words in (("model.kind=simulator", "model.kind: a planner in the simulator cannot be exported; expected one of ensemble, dropout, bnn"),
                              ("planner.kind=icem", "planner.kind: icem cannot be exported"),
                              ("uncertainty.use=penalty", "uncertainty.use: a planner that looks at")):
            trained = self.train("c.yaml", "--run-dir", "r", "--overwrite", "--set", change)
            self.assertEqual(trained.stderr.count(f"no policy.pt: {words}"), 1, trained.stderr)
            self.assertFalse((self.cwd / "r/policy.pt").exists())
            refused = run("export", "r", "--out", "q.pt", cwd=self.cwd)
            self.assertEqual((refused.returncode, words in refused.stderr), (2, True), refused.stderr)
            self.assertFalse((self.cwd / "q.pt").exists())


class OptimalControl(Case):
    """iLQR with every kind of model and trajectories, and its rungs of the ladder."""

    def last(self, *sets, text=TINY_ILQR):
        arguments = [x for s in sets for x in ("--set", s)]
        self.write(text)
        self.train("c.yaml", *arguments, "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        return comparable(self.cwd / "r/train.csv")[-1]

    def test_every_model_and_propagation(self):
        for model in (["model.kind=ensemble"], ["model.deterministic=true"], ["model.reward=learned"],
                      ["model.kind=homoscedastic", "model.patience=1"]):
            for propagation in ("tsinf", "e"):
                with self.subTest(model=model, propagation=propagation):
                    last = self.last(*model, f"propagation.kind={propagation}", "total_steps=250", "log.every_steps=250",
                                     "env.max_episode_steps=50")
                    self.assertEqual(float(last["planner/plans"]), 50)
                    self.assertEqual(float(last["planner/searches_without_plan"]), 0)
                    self.assertGreater(float(last["planner/iterations"]), 0.2)
                    self.assertEqual(int(last["updates"]), 1)

    def test_the_ladder(self):
        for text, fits in ((TINY_ILQR, 3), (TINY_ILQR_SIMULATOR, 0)):
            for ladder, plans in (("v0.5", 0), ("v1.0", 44), ("v1.5", 130)):
                last = self.last(f"ladder={ladder}", "log.every_steps=330", text=text)
                self.assertEqual((ladder, float(last["planner/plans"])), (ladder, plans))
                self.assertEqual(int(last["updates"]), fits)

    def test_options_change_the_run(self):
        text = TINY_ILQR.replace("horizon: 3, starts: 1, grow_by: 0, first_iterations: 3", "horizon: 10, starts: 3, grow_by: 0, first_iterations: 4")

        def evaluated(*sets, text=text.replace("CartPoleSwingUp-v0", "Reacher-v5")):
            self.last("env.max_episode_steps=50", *sets, text=text)
            return comparable(self.cwd / "r/train.csv"), comparable(self.cwd / "r/eval.csv")
        base = evaluated()
        for change in ("ladder=v0.5", "ladder=v1.0", "model.kind=simulator", "propagation.kind=e",
                       "propagation.disagreement_penalty=1", "ilqr.horizon=4", "ilqr.starts=8", "ilqr.start_std=1",
                       "ilqr.first_iterations=8", "ilqr.grow_by=1", "ilqr.cost_tolerance=0.5", "ilqr.iterations=2",
                       "replay_capacity=210"):
            self.assertNotEqual(evaluated(change), base, change)
        whole = TINY_ILQR + "ladder: v1.0\n"
        self.assertNotEqual(evaluated("feedback=true", text=whole), evaluated(text=whole))
        self.assertNotEqual(evaluated("noise_std=0.5"), base)

    def test_a_checkpoint_evaluates_with_its_plans_and_says_why_it_is_not_exported(self):
        for text, words in ((TINY_ILQR, "a plan of iLQR follows derivatives of the model"),
                            (TINY_ILQR_SIMULATOR, "model.kind: a planner in the simulator cannot be exported")):
            self.write(text)
            trained = self.train("c.yaml", "--run-dir", "r", "--overwrite")
            self.assertEqual(trained.stderr.count(f"no policy.pt: {words}"), 1, trained.stderr)
            first, second, other = (run("eval", "r", "--episodes", 2, "--seed", seed, "--json", cwd=self.cwd) for seed in (5, 5, 6))
            self.assertEqual((first.returncode, json.loads(first.stdout)["episodes"]), (0, 2), first.stderr)
            self.assertEqual(first.stdout, second.stdout)
            self.assertNotEqual(first.stdout, other.stdout)


class Imitation(Case):
    """DAgger and PLATO with every expert, of observations that are less than the state."""

    def last(self, text, *sets):
        self.write(text)
        self.train("c.yaml", *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite")
        return comparable(self.cwd / "r/train.csv")[-1]

    def check_that_options_change_the_run(self, text, changes):
        def trained(*sets):
            self.last(text, *sets)
            return comparable(self.cwd / "r/train.csv"), comparable(self.cwd / "r/eval.csv")
        base = trained()
        for change in changes:
            self.assertNotEqual(trained(change), base, change)

    def test_options_change_the_run(self):
        self.check_that_options_change_the_run(TINY_DAGGER, (
            "beta=1", "beta=0", "lessons.episodes=2", "lessons.episode_steps=20", "learner.updates=30", "learner.hidden=[8]",
            "learner.batch_size=8", "learner.learning_rate=0.01", "learner.weight_decay=0.1", "expert.options.actions=3",
            "expert.options.discount=0.5", "expert.options.points=[7,9]", "env.observe.columns=[0,2]", "env.observe.frames=2",
            "expert={kind: ilqr, options: {horizon: 5}}", "expert={kind: lqr}"))
        self.check_that_options_change_the_run(TINY_PLATO, (
            "lambda=0", "lambda=3", "lambda_growth=2", "env.observe.differences=false", "expert.options.state_weights=[1]",
            "expert.options.action_weights=[1]", "expert.options.action=[0.1]"))

    def test_an_iteration_is_some_episodes_and_a_fit(self):
        for text, fits, labels in ((TINY_DAGGER, 6, 50), (TINY_PLATO + "lambda: 0\n", 3, 80)):
            last = self.last(text, "total_steps=300" if fits == 6 else "total_steps=240", "log.every_steps=10")
            self.assertEqual(int(last["updates"]), fits)
            seen = {int(row["env_step"]): float(row["learner/rows"]) for row in rows(self.cwd / "r/train.csv") if row["learner/rows"]}
            self.assertEqual(seen, {labels * i: labels * i for i in range(1, fits + 1)})

    def test_cloning_is_labelled_by_whoever_acts(self):
        self.last(TINY_DAGGER, "beta=1", "learner.updates=1")
        first = comparable(self.cwd / "r/train.csv")
        self.last(TINY_DAGGER, "beta=1", "learner.updates=50")
        for one, other in zip(first, comparable(self.cwd / "r/train.csv")):
            self.assertEqual(one["episode/return"], other["episode/return"])  # the network never acts

    def test_it_is_exported(self):
        for text in (TINY_DAGGER, TINY_PLATO):
            self.last(text)
            said = run("export", "r", "--out", "p.pt", cwd=self.cwd)
            self.assertEqual((said.returncode, said.stdout), (0, "wrote p.pt, p.json\n"), said.stderr)
        options = json.loads((self.cwd / "p.json").read_text())["env_options"]
        self.assertEqual({name: value for name, value in options.items() if name.startswith("observe.")},
                         {"observe.columns": [0, 1, 2], "observe.frames": 2, "observe.differences": True})

    def test_a_plan_teaches_where_its_last_backward_pass_found_no_least(self):
        text = TINY_DAGGER.replace("Pendulum-v1, max_episode_steps: 50", "CartPoleSwingUp-v0, max_episode_steps: 25")
        text = re.sub("expert: .*", "expert: {kind: ilqr, options: {horizon: 20, first_iterations: 3}}", text)
        for text in (text, re.sub("beta: 0.5\n", "", text).replace("dagger", "plato")):
            self.assertEqual(int(self.last(text, "total_steps=50")["updates"]), 2)

    def test_what_an_expert_cannot_teach_is_said_before(self):
        for text, change, words in (
                (TINY_DAGGER, "expert.options.points=[15]", "points: expected as many numbers as low"),
                (TINY_DAGGER, "expert.options.periodic=[2]", "periodic: expected numbers below that of the state's"),
                (TINY_DAGGER, "expert.options.low=[3.2,-8]", "high: expected numbers above those of low"),
                (TINY_DAGGER, "env.id=InvertedPendulum-v5", "low: expected 4 numbers, one for each of a state of InvertedPendulum-v5"),
                (TINY_DAGGER, "lessons.episodes=7", "lessons: an iteration takes 7 episodes of up to 50 env steps before its fit, and total_steps is 300"),
                (TINY_DAGGER, "lessons.episodes=9223372036854775807", "lessons: an iteration takes 9223372036854775807 episodes"),
                (TINY_DAGGER, "expert.options.low=[-.inf,-8]", "expert.options.high: expected finite numbers, as low"),
                (TINY_DAGGER, "expert.options.periodic=[0,0]", "expert.options.periodic: expected each number once"),
                (TINY_PLATO, "expert.options.state_weights=[1,2]",
                 "error: --set expert.options.state_weights=[1,2]: expert.options.state_weights: expected 6 numbers, or one for all, got 2"),
                (TINY_PLATO.replace("0.1, 0.1, 0.1]", "0.1, 0.1, 0.1, 1, 1]"), "env={id: Reacher-v5}", "expert: Reacher-v5 about that state: no controller"),
                (TINY_PLATO, "env.observe.columns=[9]", "columns: expected numbers from 0 to 8, as an observation has 9, got 9"),
                (TINY_PLATO, "env.observe.columns=[1,1]", "columns: one is there twice"),
                (TINY_PLATO, "env.observe={columns: [1], differences: true}", "env.observe.differences: is read only where env.observe.frames is above 1"),
                (TINY_DAGGER.replace("dagger", "plato").replace("beta: 0.5\n", ""), "seed=1", "kind: value_iteration does not know what another action costs")):
            with self.subTest(change):
                self.write(text)
                refused = run("train", "c.yaml", "--run-dir", "r", "--set", change, cwd=self.cwd)
                self.assertEqual(refused.returncode, 2, refused.stderr)
                self.assertIn(words, refused.stderr)
                self.assertFalse((self.cwd / "r").exists())


class ConstrainedControl(Case):
    """A network and trajectories under one constraint: what is logged, and that options change the run."""

    def last(self, *sets):
        self.write(TINY_CONSTRAINED)
        self.train("c.yaml", *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite", "--set", "eval.episodes=1")
        return comparable(self.cwd / "r/train.csv")[-1]

    def test_an_iteration_is_an_episode_from_each_start(self):
        last = self.last()
        self.assertEqual((int(last["updates"]), float(last["trajectories/failed"])), (12, 0))
        self.assertEqual(float(last["learner/rows"]), 2 * 20 * 5)  # each state with its four neighbours
        self.assertLess(float(last["constraint/residual"]), 0.1)
        self.assertTrue((self.cwd / "r/policy.pt").exists())

    def test_the_residual_falls_further_with_multipliers(self):
        # Fits are long enough for the difference not to be theirs, and it is that of all of the last iterations.
        residuals = {}
        for multipliers in ("true", "false"):
            self.last("learner.updates=1000", "learner.hidden=[]", "neighbours=0", "total_steps=800", f"multipliers={multipliers}")
            late = rows(self.cwd / "r/train.csv")[-8:]
            residuals[multipliers] = [float(row["constraint/residual"]) for row in late]
            self.assertEqual([float(row["trajectories/from_network"]) for row in late], 8 * [0])
        self.assertLess(2 * max(residuals["true"]), min(residuals["false"]))

    def test_options_change_the_run(self):
        base = self.last()
        for change in ("multipliers=false", "dual_rate=0.5", "penalty=2", "penalty_growth=2", "inner_iterations=2", "neighbours=2",
                       "neighbour_std=0.1", "ilqr.iterations=1", "learner.updates=10", "learner.hidden=[8]"):
            self.assertNotEqual(self.last(change), base, change)
        self.assertNotEqual(self.last("penalty_growth=2", "max_penalty=1.5"), self.last("penalty_growth=2"))


class LocalModels(Case):
    """Local models with every prior and dual, from start states of one's own."""

    def last(self, *sets, text=TINY_LOCAL):
        arguments = [x for s in sets for x in ("--set", s)]
        self.write(text)
        self.train("c.yaml", *arguments, "--run-dir", "r", "--overwrite")
        return comparable(self.cwd / "r/train.csv")[-1]

    def test_options_change_the_run(self):
        def evaluated(*sets):
            self.last(*sets)
            return comparable(self.cwd / "r/train.csv"), comparable(self.cwd / "r/eval.csv")
        base = evaluated()
        for change in ("rollouts=4", "local.start_std=0.2", "local.prior=none", "local.prior=gaussian", "local.prior_strength=2",
                       "local.prior_trajectories=3", "local.prior_clusters=2", "local.rows_per_cluster=20", "local.kl_step=0.1",
                       "local.growth_range=[0.9, 1]", "local.min_std=0.2", "local.entropy_weight=1", "local.dynamics=derivatives", "local.noise_smoothing=2", "local.dual=gradient", "local.dual=log_gradient", "env.max_episode_steps=15",
                       "env.start_draws=1", "env={id: LinearQuadratic-v0, max_episode_steps: 20, start_states: [[1, 0, 0, 0]]}"):
            self.assertNotEqual(evaluated(change), base, change)
        self.assertNotEqual(evaluated("local.dual=log_gradient", "local.dual_rate=0.5"), evaluated("local.dual=log_gradient"))

    def test_options_change_a_run_of_guided_policy_search(self):
        def evaluated(*sets):
            self.last(*sets, text=TINY_GPS)
            return comparable(self.cwd / "r/train.csv"), comparable(self.cwd / "r/eval.csv")
        base = evaluated()
        for change in ("rollouts=4", "samples=network", "coupling=badmm", "local.prior=none", "local.kl_step=0.1", "local.dynamics=derivatives", "learner.updates=21"):
            self.assertNotEqual(evaluated(change), base, change)
        admm = evaluated("coupling=badmm")
        for change in ("badmm.inner_iterations=2", "badmm.weight=0.1", "badmm.dual_rate=0.5"):
            self.assertNotEqual(evaluated("coupling=badmm", change), admm, change)

    def test_guided_policy_search_teaches_a_network_that_acts_from_other_starts(self):
        last = self.last("total_steps=2400", "log.every_steps=2400", "learner.updates=500", text=TINY_GPS)
        self.assertEqual((float(last["local_0/failed"]), float(last["local_1/failed"]), int(last["updates"])), (0, 0, 12))
        first, *_, end = rows(self.cwd / "r/eval.csv")
        # Costs: all below 0.
        self.assertGreater(float(last["controllers/return"]), 0.98 * float(first["return_mean"]))
        self.assertGreater(float(end["return_mean"]), 1.02 * float(last["controllers/return"]))
        def returns(*arguments):
            said = run("eval", "r", "--json", "--episodes", 4, *arguments, cwd=self.cwd)
            self.assertEqual(said.returncode, 0, said.stderr)
            return json.loads(said.stdout)["returns"]
        self.assertIn("\nfrom 1 of 2 start states, one after the other", run("eval", "r", "--episodes", 1, cwd=self.cwd).stdout)
        self.assertNotIn("start states", run("eval", "r", "--new-starts", cwd=self.cwd).stdout)
        own = returns()
        self.assertAlmostEqual(own[0], own[2])  # two starts, one after the other
        self.assertEqual(len({round(value, 6) for value in returns("--new-starts")}), 4)
        rest = returns("--start-states", "[[0, 0, 0, 0], [1, 0, 0, 0]]")
        self.assertEqual(rest[0::2], [rest[0]] * 2)
        self.assertGreater(rest[0], rest[1])  # what begins at rest costs little
        for states, said in (("[]", "expected at least one state"), ("[[1, 2]]", "a state has 4 numbers, got 2"),
                             ("[[.inf, 0, 0, 0]]", "expected finite states"), ("[1]", "expected a list of numbers"), ("", "expected")):
            result = run("eval", "r", "--start-states", states, cwd=self.cwd)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (2, 1), result.stderr)
            self.assertRegex(result.stderr, "error: --start-states.*" + said)
        self.assertIn("excludes", run("eval", "r", "--new-starts", "--start-states", "[[0, 0, 0, 0]]", cwd=self.cwd).stderr)

    def test_it_learns_and_is_exported_with_time_as_an_argument(self):
        last = self.last("total_steps=1200", "log.every_steps=1200", "env.start_draws=1")
        self.assertEqual((float(last["local/failed"]), int(last["updates"])), (0, 12))
        first, *_, end = rows(self.cwd / "r/eval.csv")
        self.assertGreater(float(end["return_mean"]), 0.9 * float(first["return_mean"]))  # costs: both below 0
        said = run("export", "r", "--out", "p.pt", cwd=self.cwd)
        self.assertEqual((said.returncode, said.stdout), (0, "wrote p.pt\n"), said.stderr)

    def test_start_states_are_those_of_every_algorithm(self):
        for states in ("start_states: [[0.5, 0, 0, 0]]", "start_draws: 1"):
            self.write(TINY_SAC.replace("InvertedPendulum-v5", "LinearQuadratic-v0, " + states))
            self.train("c.yaml", "--run-dir", "r", "--overwrite", "--set", "eval.episodes=4")
            for row in rows(self.cwd / "r/eval.csv"):
                self.assertLess(float(row["return_std"]), 1e-9)  # one start, no noise


class Configs(Case):
    """Every config that comes with Reverie: it resolves, and a short run of it makes every kind of update."""

    def test_configs(self):
        files = CONFIGS
        self.assertGreater(len(files), 15)
        for file in files:
            with self.subTest(file.relative_to(SOURCE)):
                mbpo, pets, dhmbpo, svg, ilqr = (f"algorithm: {name}\n" in file.read_text()
                                                 for name in ("mbpo", "pets", "dhmbpo", "svg", "ilqr"))
                if "algorithm: local_models\n" in file.read_text():
                    sets = ("total_steps=500", "threads=1", "eval.episodes=1", "log.every_steps=500")
                    self.train(file, *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite")
                    last = rows(self.cwd / "r/train.csv")[-1]
                    self.assertEqual((int(last["updates"]), float(last["local/failed"])), (2, 0))
                    continue
                if "algorithm: constrained_control\n" in file.read_text():
                    sets = ("total_steps=1200", "threads=1", "device=cpu", "eval.episodes=1", "log.every_steps=1200",
                            "env.max_episode_steps=30", "env.start_draws=4", "learner.updates=20", "ilqr.first_iterations=5")
                    self.train(file, *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite")
                    last = rows(self.cwd / "r/train.csv")[-1]
                    self.assertEqual(float(last["trajectories/failed"]), 0)
                    self.assertEqual(int(last["updates"]), 10)
                    continue
                if "algorithm: gps\n" in file.read_text():
                    sets = ("total_steps=1500", "threads=1", "device=cpu", "eval.episodes=1", "log.every_steps=1500", "learner.updates=20")
                    self.train(file, *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite")
                    last = rows(self.cwd / "r/train.csv")[-1]
                    self.assertEqual((int(last["updates"]), float(last["local_5/failed"]), float(last["learner/rows"])), (1, 0, 1500))
                    continue
                if re.search("algorithm: (dagger|plato)\n", file.read_text()):
                    sets = ("total_steps=200", "threads=1", "device=cpu", "eval.episodes=1", "log.every_steps=200")
                    self.train(file, *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite")
                    self.assertGreaterEqual(float(rows(self.cwd / "r/train.csv")[-1]["learner/rows"]), 180)
                    continue
                rolls_out = mbpo and "real_ratio: 1\n" not in file.read_text()
                sets = ["total_steps=310", "exploration_steps=300", "threads=1", "device=cpu", "eval.episodes=1",
                        "replay_capacity=1000", "log.every_steps=310"]
                # A planner takes its time over every step, those of the evaluation too.
                sets += ["env.max_episode_steps=20"] if pets or ilqr else []
                sets += ["model.max_epochs=1", "updates_per_step=2"] if mbpo else []
                sets += ["rollout.start_states=200"] if rolls_out else []
                sets += ["model.max_epochs=1", "model.retrain_every=5", "planner.horizon=5"] if pets else []
                sets += ["model.max_epochs=1", "model.retrain_every=5", "ilqr.horizon=5", "ilqr.first_iterations=2"] if ilqr else []
                sets += ["model.retrain_every=10", "model.patience=0.1", "first_iteration=1"] if dhmbpo else []
                sets += ["model.max_epochs=1"] if svg else []
                self.train(file, *(x for s in sets for x in ("--set", s)), "--run-dir", "r", "--overwrite")
                last = rows(self.cwd / "r/train.csv")[-1]
                self.assertEqual(int(last["updates"]), 20 if mbpo or dhmbpo else 2 if pets or ilqr else 10)
                self.assertNotEqual(last["planner/searches" if pets else "planner/plans" if ilqr else "learner/actor_loss" if dhmbpo or svg else "sac/critic_loss"], "")
                if mbpo or pets or svg or ilqr:
                    self.assertEqual(float(last["model/epochs"]), 1)
                if dhmbpo:
                    self.assertGreater(float(last["model/minibatches"]), 0)
                if rolls_out:
                    self.assertGreaterEqual(float(last["rollout/rows"]), 190)

    def test_former_names_of_kinds(self):
        def resolved(*sets):
            self.write(TINY_PETS)
            result = run("config", "c.yaml", *(word for one in sets for word in ("--set", one)), cwd=self.cwd)
            self.assertEqual(result.returncode, 0, result.stderr)
            return result.stdout
        self.assertEqual(resolved("model.kind=probabilistic"), resolved("model.kind=ensemble"))
        self.assertEqual(resolved("model.kind=deterministic"), resolved("model.deterministic=true"))
        self.assertNotEqual(resolved("model.kind=deterministic"), resolved())

    def test_a_resolved_config_resolves_to_itself(self):
        for file in CONFIGS:
            once = run("config", file, cwd=self.cwd).stdout
            self.assertGreater(len(once), 100)
            self.write(once)
            self.assertEqual(run("config", "c.yaml", cwd=self.cwd).stdout, once)

    def test_the_reference_explains_every_key(self):
        reference = run("config", "--reference", cwd=self.cwd).stdout
        algorithms = re.findall(r"(?m)^# (\w+): ", reference)
        options = "\nenv.options\n    section: options of Pendulum-v1, each environment has its own; "
        self.assertEqual(reference.count(options), len(algorithms))
        self.assertIn("\nlearner.discount\n    number in [0, 1], default", reference)
        self.assertNotIn("or sac\n", reference)
        self.assertLessEqual({"dhmbpo", "gps", "ilqr", "mbpo", "pets", "sac"}, set(algorithms))
        for key in ("algorithm", "seed", "env.id", "eval.every_steps", "checkpoint.keep", "real_ratio",
                    "model.retrain_every", "rollout.length", "uncertainty.measure", "sac.target_entropy", "sac.expansion.weights"):
            self.assertIn("\n" + key + "\n", "\n" + reference)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    unittest.main(argv=sys.argv[2:])
