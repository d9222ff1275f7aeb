"""Holds pictures against those of MuJoCo's Python package.

Usage: mujoco_renderer_oracle.py FILE WIDTH HEIGHT MODEL, as mujoco_renderer_test.cc writes it
"""
import os
import sys

os.environ["MUJOCO_GL"] = "egl"
import mujoco
import numpy as np


def main():
    width, height = int(sys.argv[2]), int(sys.argv[3])
    ours = np.fromfile(sys.argv[1], np.uint8).reshape(-1, height, width, 3).astype(int)
    model = mujoco.MjModel.from_xml_path(sys.argv[4])
    data = mujoco.MjData(model)
    renderer = mujoco.Renderer(model, height, width)
    pictures = []
    for angle in (0.0, 0.4, -0.7):
        data.qpos[:] = model.qpos0
        data.qpos[0] = 3 * angle
        data.qpos[4] = angle
        mujoco.mj_forward(model, data)
        renderer.update_scene(data, camera="track")
        pictures.append(renderer.render().astype(int))
    theirs = np.stack(pictures)
    assert theirs.std() > 20, theirs.std()
    assert np.abs(theirs[0] - theirs[1]).mean() > 1, "the poses look alike"
    for mine, other in zip(ours, theirs):
        difference = np.abs(mine - other)
        assert difference.mean() < 0.5, difference.mean()
    renderer.close()


if __name__ == "__main__":
    main()
