"""What scripts/lib/setup.sh says where it cannot do its work.

usage: setup_test.py SOURCE_DIR [unittest arguments]
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()


class Setup(unittest.TestCase):
    def source_it(self, **environment):
        return subprocess.run(["bash", "-c", 'source "$0"; echo "$cache"', SOURCE / "scripts/lib/setup.sh"], text=True,
                              capture_output=True, env={"PATH": os.environ["PATH"], **environment})

    def test_without_a_home_one_sentence_says_what_to_set(self):
        result = self.source_it()
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "reverie: Set HOME or XDG_CACHE_HOME to a folder: what is downloaded is kept below it.\n")

    def test_either_of_the_two_is_enough(self):
        with tempfile.TemporaryDirectory() as folder:
            for environment, cache in (({"HOME": folder}, f"{folder}/.cache/reverie"),
                                       ({"XDG_CACHE_HOME": folder}, f"{folder}/reverie")):
                result = self.source_it(**environment)
                self.assertEqual((result.returncode, result.stdout), (0, cache + "\n"), result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
