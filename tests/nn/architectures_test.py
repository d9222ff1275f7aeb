"""That the CUDA sources are compiled for each generation of GPUs that users are told of, and for what comes later.

usage: architectures_test.py COMPILE_COMMANDS
"""
import json
import pathlib
import re
import sys
import unittest

# Turing (the free GPUs of notebooks), Ampere, Hopper.
GENERATIONS = {"sm_75", "sm_80", "sm_90"}


class Architectures(unittest.TestCase):
    def test_each_generation_has_code_of_its_own(self):
        commands = [entry["command"] for entry in json.loads(pathlib.Path(sys.argv[1]).read_text())
                    if entry["file"].endswith(".cu") and "nvcc" in entry["command"].split()[0]]
        self.assertGreaterEqual(len(commands), 4)
        for command in commands:
            self.assertLessEqual(GENERATIONS, set(re.findall(r"sm_\d+", command)), command)
            self.assertIn("compute_90,", command)  # what later ones compile from


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
