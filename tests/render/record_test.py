"""The command `reverie record` as a user meets it.

usage: record_test.py PROGRAM [unittest arguments]
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import imageio.v3 as imageio
import numpy as np

PROGRAM = pathlib.Path(sys.argv[1]).resolve()

CONFIG = """algorithm: sac
total_steps: 60
exploration_steps: 50
threads: 1
device: cpu
env: {{id: {task}}}
sac: {{hidden: [16, 16], batch_size: 32}}
eval: {{every_steps: 1000, episodes: 1}}
"""

MBPO = """algorithm: mbpo
total_steps: 310
exploration_steps: 300
threads: 1
device: cpu
env: {id: InvertedPendulum-v5}
updates_per_step: 1
model: {members: 3, elites: 2, hidden: [32, 32], weight_decay: [0, 0, 0], retrain_every: 300, batch_size: 32, reward: learned}
rollout: {start_states: 100, length: 1}
sac: {hidden: [16, 16], batch_size: 32}
eval: {every_steps: 1000, episodes: 1}
"""


class Record(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cwd = pathlib.Path(cls.folder.name)
        (cls.cwd / "m.yaml").write_text(MBPO)
        subprocess.run([PROGRAM, "train", "m.yaml", "--run-dir", "mbpo"], cwd=cls.cwd, check=True, capture_output=True)
        for name, task in (("cheetah", "HalfCheetah-v5"), ("pendulum", "Pendulum-v1"),
                           ("arm", "dm_control/reacher-easy")):
            (cls.cwd / "c.yaml").write_text(CONFIG.format(task=task))
            subprocess.run([PROGRAM, "train", "c.yaml", "--run-dir", name], cwd=cls.cwd, check=True, capture_output=True)

    def record(self, *arguments, code=0, **environment):
        result = subprocess.run([PROGRAM, "record", *map(str, arguments)], cwd=self.cwd, capture_output=True, text=True,
                                env={**os.environ, **environment}, timeout=300)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stderr

    def test_a_video_has_a_picture_for_every_step(self):
        said = self.record("cheetah", "--out", "a/p.mp4", "--steps", "20", "--episodes", "2", "--width", "320", "--height", "240")
        self.assertIn("42 pictures", said)
        probed = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height,nb_frames,r_frame_rate", "-of",
             "csv=p=0", "a/p.mp4"], cwd=self.cwd, capture_output=True, text=True, check=True).stdout.strip()
        self.assertEqual(probed, "h264,320,240,20/1,42")  # a step of HalfCheetah takes 0.05 s
        self.assertEqual([path.name for path in (self.cwd / "a").iterdir()], ["p.mp4"])

    def test_png_and_gif_show_the_same_moving_thing(self):
        for out in ("pictures", "p.gif"):
            self.record("cheetah", "--out", out, "--steps", "5", "--width", "320", "--height", "240", "--seed", "3")
        pictures = [imageio.imread(path) for path in sorted((self.cwd / "pictures").glob("*.png"))]
        self.assertEqual([path.name for path in sorted((self.cwd / "pictures").iterdir())],
                         [f"{i:06}.png" for i in range(1, 7)])
        for before, after in zip(pictures, pictures[1:]):
            self.assertGreater(np.abs(before.astype(int) - after).mean(), 0.1)
        self.assertGreater(pictures[0].std(), 20)
        gif = imageio.imread(self.cwd / "p.gif")
        self.assertEqual(gif.shape[:3], (6, 240, 320))
        self.assertLess(np.abs(gif[3][..., :3].astype(int) - pictures[3][..., :3]).mean(), 8)

    def test_any_name_may_be_that_of_a_folder_or_a_file(self):
        for out in ("50%", "a%d/%03d", "%%", "50%d:b c'd/e", "a.b/", "file:x"):
            self.record("cheetah", f"--out={out}", "--steps", "2", "--width", "64", "--height", "64")
            self.assertEqual(sorted(path.name for path in (self.cwd / out).iterdir()), [f"{i:06}.png" for i in range(1, 4)], out)
        for out in ("50%d.mp4", "n/a:b c'.gif"):
            self.record("cheetah", f"--out={out}", "--steps", "2", "--width", "64", "--height", "64")
            self.assertGreater((self.cwd / out).stat().st_size, 100, out)

    def test_what_the_model_imagined_stands_beside_it(self):
        self.record("mbpo", "--out", "imagined", "--steps", "6", "--imagine", "3", "--width", "320", "--height", "240")
        pictures = [imageio.imread(path).astype(int)[..., :3] for path in sorted((self.cwd / "imagined").glob("*.png"))]
        self.assertEqual(len(pictures), 7)
        below_labels = slice(100, None)
        different = []
        for picture in pictures:
            self.assertEqual(picture.shape, (240, 640, 3))
            happened, imagined = picture[below_labels, :320], picture[below_labels, 320:]
            self.assertGreater(imagined.std(), 10)
            different.append(np.abs(happened - imagined).mean())
        self.assertEqual(different[0], 0)  # both begin in the same state
        self.assertTrue(all(0 < value < 20 for value in different[1:]), different)
        self.assertLess(different[4], different[3])  # after three steps it begins anew from what is
        self.assertIn("cheetah learned no model", self.record("cheetah", "--out", "q.mp4", "--imagine", "3", code=2))

    def test_episodes_begin_where_they_are_told_to(self):
        # InvertedPendulum falls from 0.15 rad sooner than from rest, whatever the seed.
        def said(seed, states):
            lines = self.record("mbpo", "--out", f"from-{seed}", "--episodes", "2", "--seed", seed, "--width", "64", "--height",
                                "64", "--start-states", states).splitlines()
            return [line.split(": ")[2] for line in lines if "episode " in line]
        first = said(1, "[[0, 0, 0, 0], [0, 0.15, 0, 0]]")
        self.assertEqual((len(first), said(2, "[[0, 0, 0, 0], [0, 0.15, 0, 0]]")), (2, first))
        self.assertNotEqual(*first)
        self.assertEqual(said(3, "[[0, 0.15, 0, 0]]"), [first[1]] * 2)
        self.assertIn("a state has 4 numbers, got 1", self.record("mbpo", "--out", "q.mp4", "--start-states", "[[1]]", code=2))

    def test_a_task_of_dm_controls_suite_is_recorded(self):
        self.record("arm", "--out", "arm-pictures", "--steps", "3", "--width", "160", "--height", "120", "--camera", "fixed")
        pictures = [imageio.imread(path) for path in sorted((self.cwd / "arm-pictures").glob("*.png"))]
        self.assertEqual([picture.shape[:2] for picture in pictures], [(120, 160)] * 4)
        self.assertGreater(pictures[0][60:].std(), 5)

    def test_the_program_links_no_opengl(self):
        linked = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True, check=True).stdout
        for name in ("libEGL", "libGL", "libOpenGL", "libOSMesa", "libav"):
            self.assertNotIn(name, linked)

    def test_without_opengl_it_says_what_to_install(self):
        # No driver behind EGL; OSMesa may be there.
        said = self.record("cheetah", "--out", "q.mp4", "--steps", "1", code=0 if has_osmesa() else 1,
                           __EGL_VENDOR_LIBRARY_FILENAMES="/dev/null")
        self.assertIn("through OSMesa" if has_osmesa() else "no OpenGL to draw with (Debian: libegl1", said)

    def test_bad_input(self):
        self.assertIn("Pendulum-v1 has no picture", self.record("pendulum", "--out", "q.mp4", code=2))
        self.assertIn("expected a name ending in .mp4 or .gif", self.record("cheetah", "--out", "q.avi", code=2))
        self.assertIn("expected even numbers", self.record("cheetah", "--out", "q.mp4", "--width", "321", code=2))
        self.assertIn("there is no ffmpeg", self.record("cheetah", "--out", "q.mp4", code=1, REVERIE_FFMPEG="/nowhere"))
        self.assertIn("no camera front; it has track", self.record("cheetah", "--out", "q.mp4", "--camera", "front", code=2))
        self.assertEqual(list(self.cwd.glob("q*")), [])

    def test_a_video_that_cannot_be_written_leaves_nothing(self):
        broken = self.cwd / "ffmpeg"
        broken.write_text(f"#!/bin/sh\n[ $1 = -version ] && exit 0\necho 'no room' >&2\nexit 1\n")
        broken.chmod(0o755)
        said = self.record("cheetah", "--out", "r.mp4", "--steps", "30", code=1, REVERIE_FFMPEG=str(broken))
        self.assertIn("ffmpeg failed: no room", said)
        self.assertEqual(list(self.cwd.glob("r*")), [])


def has_osmesa():
    return "libOSMesa.so.8" in subprocess.run([shutil.which("ldconfig") or "/sbin/ldconfig", "-p"], capture_output=True,
                                              text=True).stdout


if __name__ == "__main__":
    unittest.main(argv=sys.argv[1:])
