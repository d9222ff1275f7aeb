#include "reverie/render/mujoco_renderer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mujoco/mujoco.h>

#include <fstream>

#include "oracle.h"
#include "reverie/env/dm_control/dm_control_env.h"
#include "reverie/env/mujoco/simulation.h"
#include "reverie/env/registry.h"

namespace reverie {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// The same poses drawn by MuJoCo's Python package.
TEST(MujocoRenderer, DrawsWhatMujocosPythonRendererDraws) {
  const auto model = LoadMujocoModel("half_cheetah.xml");
  MujocoRenderer renderer(*model, {.width = 320, .height = 240});
  std::vector<double> qpos(model->qpos0, model->qpos0 + model->nq);
  const TemporaryFolder folder;
  std::ofstream file(folder.path() / "pictures", std::ios::binary);
  for (const double angle : {0.0, 0.4, -0.7}) {
    qpos[0] = 3 * angle;
    qpos[4] = angle;
    const auto picture = renderer.Draw(qpos, {});
    ASSERT_EQ(picture.size(), 320 * 240 * 3);
    file.write(reinterpret_cast<const char*>(picture.data()), static_cast<std::streamsize>(picture.size()));
  }
  file.close();
  EXPECT_EQ(RunPython("render/mujoco_renderer_oracle.py", folder.path(),
                      "pictures 320 240 " + MujocoModelPath("half_cheetah.xml").string()),
            0);
}

TEST(MujocoRenderer, LabelsStandInTheUpperLeftCorner) {
  const auto model = LoadMujocoModel("hopper.xml");
  MujocoRenderer renderer(*model, {.width = 320, .height = 240});
  const std::vector<double> qpos(model->qpos0, model->qpos0 + model->nq);
  const auto without_view = renderer.Draw(qpos, {});
  const std::vector<uint8_t> without(without_view.begin(), without_view.end());
  const auto with = renderer.Draw(qpos, {{.name = "time", .value = "1.00 s"}});
  size_t changed_above_left = 0;
  size_t changed_elsewhere = 0;
  for (size_t i = 0; i < with.size(); ++i) {
    const size_t x = i / 3 % 320;
    const size_t y = i / 3 / 320;
    (x < 160 && y < 60 ? changed_above_left : changed_elsewhere) += with[i] != without[i] ? 1 : 0;
  }
  EXPECT_GT(changed_above_left, 500);
  EXPECT_EQ(changed_elsewhere, 0);
}

TEST(MujocoRenderer, FollowsABodyWithTheCameraThatTheModelHasForIt) {
  const auto model = LoadMujocoModel(dm_control::ModelPath("walker.xml").string());
  std::vector<double> qpos(model->qpos0, model->qpos0 + model->nq);
  qpos[1] = 20;  // m along the track
  const auto draw = [&](const std::string& camera) {
    MujocoRenderer renderer(*model, {.width = 320, .height = 240, .camera = camera});
    const auto picture = renderer.Draw(qpos, {});
    return std::vector<uint8_t>(picture.begin(), picture.end());
  };
  EXPECT_EQ(draw(""), draw("side"));
  EXPECT_NE(draw(""), draw("back"));
}

// A target that each episode draws anew into the model.
TEST(MujocoRenderer, DrawsTheModelAsItIsNow) {
  const auto env = BuiltinEnvs().Find("dm_control/reacher-easy").maker().make();
  MujocoRenderer renderer(env->mujoco()->model(), {.width = 160, .height = 120, .camera = "fixed"});
  std::vector<double> obs(6);
  std::vector<std::vector<uint8_t>> pictures;
  for (const double y : {0.1, 0.1, -0.1}) {
    env->SetState(std::vector<double>{0, 0, 0, 0, 0, y}, obs);
    const auto picture = renderer.Draw(env->mujoco()->qpos(), {});
    pictures.emplace_back(picture.begin(), picture.end());
  }
  EXPECT_EQ(pictures[0], pictures[1]);
  EXPECT_NE(pictures[1], pictures[2]);
}

TEST(MujocoRenderer, RefusesCamerasAndSizesThatThereAreNot) {
  const auto model = LoadMujocoModel("half_cheetah.xml");
  EXPECT_THAT([&] { MujocoRenderer(*model, {.camera = "tracc"}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("no camera tracc; it has track")));
  EXPECT_THAT([&] { MujocoRenderer(*model, {.width = 0}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("0x480 pixels")));
}

}  // namespace
}  // namespace reverie
