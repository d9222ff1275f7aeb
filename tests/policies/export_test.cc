#include "reverie/policies/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/script.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "reverie/config/reader.h"
#include "reverie/core/state.h"
#include "reverie/policies/gaussian_actor.h"

namespace reverie {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ExportTest : public testing::Test {
 protected:
  ExportTest() {
    const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ =
        fs::path(testing::TempDir()) / ("reverie_export_" + std::to_string(getpid()) + "_" + std::string(info->name()));
    fs::create_directories(folder_);
  }
  ~ExportTest() override { fs::remove_all(folder_); }

  fs::path Folder(const std::string& name) const {
    fs::create_directories(folder_ / name);
    return folder_ / name;
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  // In this test's folder, where MuJoCo may leave its log.
  testing::AssertionResult RunOracle(const std::string& arguments) const {
    const std::string command = "cd " + folder_.string() + " && " + REVERIE_TEST_PYTHON + " " + REVERIE_SOURCE_DIR +
                                "/tests/policies/export_oracle.py " + arguments;
    const int status = std::system(command.c_str());
    return status == 0 ? testing::AssertionSuccess() : testing::AssertionFailure() << command << ": status " << status;
  }

  fs::path folder_;
};

torch::Tensor Normal(const std::vector<int64_t>& shape, torch::Generator& generator, double std = 1) {
  return torch::randn(shape, generator, torch::kFloat32) * std;
}

// Random weights of that shape, a normaliser that matters and bounds that differ per dimension.
FrozenPolicy MakePolicy(int64_t obs_dim, int64_t act_dim, const std::vector<int64_t>& hidden, uint64_t seed,
                        const std::vector<std::string>& activations = {"relu", "tanh", "silu"}) {
  torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
  FrozenPolicy policy;
  policy.env_id = "HalfCheetah-v5";
  policy.env_options = {{"forward_reward_weight", 2.0},
                        {"exclude_current_positions_from_observation", true},
                        {"frame_skip", int64_t{5}},
                        {"healthy_z_range", std::vector<double>{0.7, std::numeric_limits<double>::infinity()}},
                        {"xml_file", std::string("a \"quoted\" name.xml")},
                        {"sizes", std::vector<int64_t>{1, -2}}};
  policy.obs_mean = Normal({obs_dim}, generator, 3);
  policy.obs_std = torch::rand({obs_dim}, generator, torch::kFloat32) * 2 + 0.1;
  for (int64_t i = 0; i < act_dim; ++i) {
    policy.action_low.push_back(-0.4 - 0.3 * static_cast<double>(i));
    policy.action_high.push_back(1.1 + static_cast<double>(i));
  }
  int64_t in = obs_dim;
  for (size_t i = 0; i < hidden.size(); ++i) {
    policy.layers.push_back({Normal({hidden[i], in}, generator, 1 / std::sqrt(static_cast<double>(in))),
                             Normal({hidden[i]}, generator, 0.1), activations[i % activations.size()]});
    in = hidden[i];
  }
  const double std = 1 / std::sqrt(static_cast<double>(in));
  policy.layers.push_back({Normal({act_dim, in}, generator, std), Normal({act_dim}, generator, 0.1), "tanh"});
  policy.log_std = FrozenLogStdHead{Normal({act_dim, in}, generator, std), Normal({act_dim}, generator, 0.1), -20, 2};
  return policy;
}

torch::Tensor Observations(const FrozenPolicy& policy, int64_t count, uint64_t seed = 11) {
  torch::Generator generator = MakeGenerator(Rng(seed), torch::kCPU);
  return policy.obs_mean + 2 * policy.obs_std * Normal({count, policy.obs_dim()}, generator);
}

void SaveFloats(const torch::Tensor& tensor, const fs::path& path) {
  const torch::Tensor values = tensor.contiguous();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data_ptr<float>()),
             static_cast<std::streamsize>(values.numel() * sizeof(float)));
}

std::string ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteText(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

torch::Tensor LoadFloats(const fs::path& path, int64_t width) {
  const std::string bytes = ReadText(path);
  torch::Tensor values = torch::empty({static_cast<int64_t>(bytes.size() / sizeof(float))}, torch::kFloat32);
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(values.data_ptr<float>()));
  return values.reshape({-1, width});
}

void WriteBoth(const FrozenPolicy& policy, const fs::path& folder) {
  WriteTorchScript(policy, folder / "policy.pt");
  WritePolicyJson(policy, folder / "policy.json");
}

// The largest difference as a share of each dimension's half-range.
double Difference(const torch::Tensor& actions, const torch::Tensor& expected, const FrozenPolicy& policy) {
  const torch::Tensor low = torch::tensor(policy.action_low, torch::kFloat64);
  const torch::Tensor high = torch::tensor(policy.action_high, torch::kFloat64);
  if (actions.sizes() != expected.sizes()) {
    return std::numeric_limits<double>::infinity();
  }
  const torch::Tensor difference = (actions.to(torch::kFloat64) - expected.to(torch::kFloat64)).abs();
  return (difference / ((high - low) / 2)).max().item<double>();
}

template <class Error, class Function>
std::string ErrorOf(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// ---- The formula ----

TEST(FrozenPolicy, MeanOfOneUnitIsTheHandNumber) {
  FrozenPolicy policy = MakePolicy(1, 1, {}, 1);
  policy.obs_mean = torch::tensor({3.0f});
  policy.obs_std = torch::tensor({2.0f});
  policy.action_low = {-1};
  policy.action_high = {5};
  policy.layers = {{torch::tensor({{0.5f}}), torch::tensor({0.25f}), "tanh"}};
  policy.log_std.reset();
  // (7 - 3) / 2 = 2; 0.5 * 2 + 0.25 = 1.25; -1 + (tanh(1.25) + 1) / 2 * 6.
  EXPECT_NEAR(policy.Mean(torch::tensor({{7.0f}})).item<double>(), 2 + 3 * std::tanh(1.25), 1e-6);
}

TEST(FrozenPolicy, SaturatedActionsLieWithinTheFloatBounds) {
  FrozenPolicy policy = MakePolicy(2, 8, {}, 2);
  policy.layers[0].weight.mul_(1e4);
  const torch::Tensor actions = policy.Mean(Observations(policy, 200));
  const torch::Tensor low = torch::tensor(policy.action_low, torch::kFloat32);
  const torch::Tensor high = torch::tensor(policy.action_high, torch::kFloat32);
  EXPECT_TRUE((actions >= low).all().item<bool>());
  EXPECT_TRUE((actions <= high).all().item<bool>());
  EXPECT_TRUE((actions == high).any().item<bool>());
}

TEST(FrozenPolicy, MeanRefusesAnotherWidth) {
  const FrozenPolicy policy = MakePolicy(3, 2, {4}, 3);
  EXPECT_THAT(ErrorOf<std::logic_error>([&] { policy.Mean(torch::zeros({5, 1})); }), HasSubstr("expected [B, 3]"));
}

// ---- Other readers ----

TEST_F(ExportTest, PyTorchAndNumpyActAsCppForAnyDepth) {
  const std::vector<std::vector<int64_t>> depths = {{}, {32}, {64, 48}, {32, 16, 24}};
  std::string folders;
  for (size_t i = 0; i < depths.size(); ++i) {
    const FrozenPolicy policy = MakePolicy(5 + static_cast<int64_t>(i), 3, depths[i], i);
    const fs::path folder = Folder(std::to_string(i));
    WriteBoth(policy, folder);
    SaveFloats(Observations(policy, 500), folder / "obs.f32");
    folders.append(" ").append(folder.string());
  }
  ASSERT_TRUE(RunOracle("actions" + folders));
  for (size_t i = 0; i < depths.size(); ++i) {
    const FrozenPolicy policy = MakePolicy(5 + static_cast<int64_t>(i), 3, depths[i], i);
    const fs::path folder = Folder(std::to_string(i));
    const torch::Tensor actions = policy.Mean(Observations(policy, 500));
    EXPECT_LT(Difference(LoadFloats(folder / "torch.f32", 3), actions, policy), 1e-6) << depths[i].size();
    EXPECT_LT(Difference(LoadFloats(folder / "numpy.f32", 3), actions, policy), 5e-6) << depths[i].size();
  }
}

TEST_F(ExportTest, PyTorchDrivesGymnasiumWithTheActionsOfCppAndNumpy) {
  FrozenPolicy cheetah = MakePolicy(17, 6, {64, 64}, 21);
  cheetah.env_options = {{"forward_reward_weight", 2.0}, {"reset_noise_scale", 0.05}};
  cheetah.action_low.assign(6, -1);
  cheetah.action_high.assign(6, 1);
  FrozenPolicy pendulum = MakePolicy(4, 1, {32}, 22);
  pendulum.env_id = "InvertedPendulum-v5";
  pendulum.env_options.clear();
  pendulum.action_low = {-3};
  pendulum.action_high = {3};
  const fs::path cheetah_folder = Folder("cheetah");
  const fs::path pendulum_folder = Folder("pendulum");
  WriteBoth(cheetah, cheetah_folder);
  WriteBoth(pendulum, pendulum_folder);
  ASSERT_TRUE(RunOracle("drive " + cheetah_folder.string() + " " + pendulum_folder.string()));
  for (const auto& [policy, folder] : {std::pair(&cheetah, cheetah_folder), std::pair(&pendulum, pendulum_folder)}) {
    const torch::Tensor obs = LoadFloats(folder / "obs.f32", policy->obs_dim());
    ASSERT_EQ(obs.size(0), 200);
    const torch::Tensor actions = policy->Mean(obs);
    EXPECT_GT(actions.std(0).min().item<double>(), 0.01) << policy->env_id;
    EXPECT_LT(Difference(LoadFloats(folder / "torch.f32", policy->act_dim()), actions, *policy), 1e-6);
    EXPECT_LT(Difference(LoadFloats(folder / "numpy.f32", policy->act_dim()), actions, *policy), 5e-6);
  }
}

TEST_F(ExportTest, AProgramWithOnlyLibTorchActsAsCpp) {
  const FrozenPolicy policy = MakePolicy(7, 2, {24, 24}, 31);
  const torch::Tensor obs = Observations(policy, 50);
  WriteTorchScript(policy, folder_ / "policy.pt");
  std::ofstream text(folder_ / "obs.txt");
  text.precision(9);
  for (int64_t row = 0; row < obs.size(0); ++row) {
    for (int64_t i = 0; i < obs.size(1); ++i) {
      text << obs[row][i].item<float>() << " ";
    }
    text << "\n";
  }
  text.close();
  const std::string command = std::string(REVERIE_LOAD_POLICY) + " " + (folder_ / "policy.pt").string() + " < " +
                              (folder_ / "obs.txt").string() + " > " + (folder_ / "actions.txt").string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream file(folder_ / "actions.txt");
  std::vector<float> numbers;
  for (float number = 0; file >> number;) {
    numbers.push_back(number);
  }
  ASSERT_EQ(numbers.size(), 100U);
  EXPECT_LT(Difference(torch::tensor(numbers).reshape({50, 2}), policy.Mean(obs), policy), 1e-6);
}

TEST_F(ExportTest, TorchScriptSaysWhatItIsAndRunsOnAnyDevice) {
  const FrozenPolicy policy = MakePolicy(6, 2, {16}, 41);
  WriteTorchScript(policy, folder_ / "policy.pt");
  ASSERT_TRUE(RunOracle("facts " + folder_.string()));
  const auto facts = nlohmann::json::parse(ReadText(folder_ / "facts.json"));
  EXPECT_EQ(facts, nlohmann::json({{"env_id", "HalfCheetah-v5"},
                                   {"obs_dim", 6},
                                   {"act_dim", 2},
                                   {"format_version", 1},
                                   {"requires_grad", false},
                                   {"devices", {"meta", "meta"}},
                                   {"refuses_other_width", true}}));
}

// ---- Sampling ----

TEST_F(ExportTest, SampleDrawsTheSquashedGaussian) {
  FrozenPolicy policy = MakePolicy(4, 3, {16}, 51);
  // The last dimension's log-std lies above the clamp.
  policy.log_std->bias = torch::tensor({-1.0f, -0.5f, 9.0f});
  policy.log_std->high = 0.2;
  const torch::Tensor obs = Observations(policy, 1);
  WriteTorchScript(policy, folder_ / "policy.pt");
  SaveFloats(obs, folder_ / "obs.f32");
  constexpr int64_t kCount = 100'000;
  ASSERT_TRUE(RunOracle("sample " + folder_.string() + " " + std::to_string(kCount)));

  const torch::Tensor hidden = torch::relu(
      torch::linear((obs - policy.obs_mean) / policy.obs_std, policy.layers[0].weight, policy.layers[0].bias));
  const torch::Tensor mean = torch::linear(hidden, policy.layers[1].weight, policy.layers[1].bias)[0];
  const torch::Tensor std =
      torch::linear(hidden, policy.log_std->weight, policy.log_std->bias)[0].clamp(-20, 0.2).exp();
  const torch::Tensor low = torch::tensor(policy.action_low, torch::kFloat64);
  const torch::Tensor high = torch::tensor(policy.action_high, torch::kFloat64);
  const torch::Tensor actions = LoadFloats(folder_ / "sample.f32", 3).to(torch::kFloat64);
  ASSERT_EQ(actions.size(0), kCount);
  const torch::Tensor u = torch::atanh(((actions - low) / (high - low) * 2 - 1).clamp(-1 + 1e-7, 1 - 1e-7));
  // Five standard errors: std / sqrt(n) of a mean, std / sqrt(2 n) of a standard deviation.
  const double n = static_cast<double>(kCount);
  for (int64_t i = 0; i < 3; ++i) {
    const double sigma = std[i].item<double>();
    EXPECT_NEAR(u.select(1, i).mean().item<double>(), mean[i].item<double>(), 5 * sigma / std::sqrt(n)) << i;
    EXPECT_NEAR(u.select(1, i).std().item<double>(), sigma, 5 * sigma / std::sqrt(2 * n)) << i;
  }
  const torch::Tensor correlation = torch::corrcoef(u.t());
  EXPECT_LT((correlation - torch::eye(3, torch::kFloat64)).abs().max().item<double>(), 5 / std::sqrt(n));
}

TEST_F(ExportTest, WithoutALogStdHeadSampleIsTheMean) {
  FrozenPolicy policy = MakePolicy(4, 3, {16}, 52);
  policy.log_std.reset();
  const torch::Tensor obs = Observations(policy, 1);
  WriteTorchScript(policy, folder_ / "policy.pt");
  SaveFloats(obs, folder_ / "obs.f32");
  ASSERT_TRUE(RunOracle("sample " + folder_.string() + " 4"));
  EXPECT_LT(Difference(LoadFloats(folder_ / "sample.f32", 3), policy.Mean(obs).expand({4, 3}), policy), 1e-6);
}

// ---- The JSON file ----

void ExpectEqual(const FrozenPolicy& read, const FrozenPolicy& written) {
  EXPECT_EQ(read.env_id, written.env_id);
  EXPECT_EQ(read.env_options, written.env_options);
  EXPECT_EQ(read.action_low, written.action_low);
  EXPECT_EQ(read.action_high, written.action_high);
  EXPECT_TRUE(torch::equal(read.obs_mean, written.obs_mean));
  EXPECT_TRUE(torch::equal(read.obs_std, written.obs_std));
  ASSERT_EQ(read.layers.size(), written.layers.size());
  for (size_t i = 0; i < read.layers.size(); ++i) {
    EXPECT_TRUE(torch::equal(read.layers[i].weight, written.layers[i].weight)) << i;
    EXPECT_TRUE(torch::equal(read.layers[i].bias, written.layers[i].bias)) << i;
    EXPECT_EQ(read.layers[i].activation, written.layers[i].activation) << i;
  }
  ASSERT_EQ(read.log_std.has_value(), written.log_std.has_value());
  if (read.log_std) {
    EXPECT_TRUE(torch::equal(read.log_std->weight, written.log_std->weight));
    EXPECT_TRUE(torch::equal(read.log_std->bias, written.log_std->bias));
    EXPECT_EQ(read.log_std->low, written.log_std->low);
    EXPECT_EQ(read.log_std->high, written.log_std->high);
  }
}

TEST_F(ExportTest, JsonReadsBackExactly) {
  FrozenPolicy policy = MakePolicy(40, 3, {300, 200}, 61);
  // Every exponent of a float32, subnormal ones among them, and the ends of its range.
  torch::Tensor weight = policy.layers[0].weight.flatten();
  for (int64_t i = 0; i < 270; ++i) {
    weight[i] = std::ldexp(1.0f + 1.0f / 3.0f, static_cast<int>(i) - 149);
  }
  weight.slice(0, 270, 275)
      .copy_(torch::tensor({std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                            std::numeric_limits<float>::denorm_min(), -0.0f, 16777217.0f}));
  policy.layers[0].weight = weight.reshape({300, 40});
  policy.action_low[0] = -0.1 - 0.2;
  WritePolicyJson(policy, folder_ / "policy.json");
  ExpectEqual(ReadPolicyJson(folder_ / "policy.json"), policy);
}

TEST_F(ExportTest, JsonOfADeterministicPolicyReadsBackExactly) {
  FrozenPolicy policy = MakePolicy(3, 2, {5}, 62);
  policy.log_std.reset();
  policy.env_options.clear();
  WritePolicyJson(policy, folder_ / "policy.json");
  ExpectEqual(ReadPolicyJson(folder_ / "policy.json"), policy);
}

TEST_F(ExportTest, JsonKeysComeInTheDocumentedOrder) {
  WritePolicyJson(MakePolicy(3, 2, {5}, 63), folder_ / "policy.json");
  const auto file = nlohmann::ordered_json::parse(ReadText(folder_ / "policy.json"));
  std::vector<std::string> keys;
  for (const auto& [key, value] : file.items()) {
    keys.push_back(key);
  }
  EXPECT_THAT(keys, testing::ElementsAre("format_version", "env_id", "env_options", "obs_dim", "act_dim", "action_low",
                                         "action_high", "obs_mean", "obs_std", "layers", "log_std"));
}

TEST_F(ExportTest, WritersRefuseAPolicyThatDoesNotFitOrIsNotFinite) {
  FrozenPolicy narrow = MakePolicy(3, 2, {5, 4}, 64);
  narrow.layers[1].weight = torch::zeros({4, 6});
  EXPECT_THAT(ErrorOf<std::logic_error>([&] { WritePolicyJson(narrow, folder_ / "p.json"); }),
              HasSubstr("layers[1].weight: shape [4, 6], expected [4, 5]"));
  FrozenPolicy linear = MakePolicy(3, 2, {5}, 64);
  linear.layers[1].activation = "identity";
  EXPECT_THAT(ErrorOf<std::logic_error>([&] { WriteTorchScript(linear, folder_ / "p.pt"); }),
              HasSubstr("layers[1].activation: \"identity\", expected tanh"));
  FrozenPolicy broken = MakePolicy(3, 2, {5}, 64);
  broken.layers[0].bias[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(ErrorOf<std::runtime_error>([&] { WriteTorchScript(broken, folder_ / "p.pt"); }),
              HasSubstr("layers[0].bias has numbers that are not finite"));
  EXPECT_THAT(Files(), testing::IsEmpty());
}

TEST_F(ExportTest, WritersNameAFileThatCannotBeWritten) {
  const FrozenPolicy policy = MakePolicy(3, 2, {5}, 65);
  EXPECT_THAT(ErrorOf<std::runtime_error>([&] { WritePolicyJson(policy, folder_ / "none" / "p.json"); }),
              HasSubstr("cannot write " + (folder_ / "none" / "p.json").string()));
  EXPECT_THAT(ErrorOf<std::runtime_error>([&] { WriteTorchScript(policy, folder_); }), HasSubstr("it is a folder"));
}

// ---- The strict reader ----

class ReaderTest : public ExportTest {
 protected:
  ReaderTest() {
    WritePolicyJson(MakePolicy(2, 1, {3}, 71), path_);
    text_ = ReadText(path_);
    file_ = nlohmann::ordered_json::parse(text_);
  }

  std::string ErrorOfText(const std::string& text) {
    WriteText(path_, text);
    return ErrorOf<std::runtime_error>([&] { ReadPolicyJson(path_); });
  }

  // The error for the file with one value replaced, without the file's name, which it must begin with.
  std::string ErrorWith(const std::string& pointer, const nlohmann::ordered_json& value) {
    nlohmann::ordered_json changed = file_;
    changed[nlohmann::ordered_json::json_pointer(pointer)] = value;
    const std::string error = ErrorOfText(changed.dump());
    const std::string prefix = path_.string() + ": ";
    EXPECT_TRUE(error.starts_with(prefix)) << error;
    return error.substr(std::min(prefix.size(), error.size()));
  }

  fs::path path_ = folder_ / "policy.json";
  std::string text_;
  nlohmann::ordered_json file_;
};

TEST_F(ReaderTest, NamesTheKeyOfAWrongValue) {
  EXPECT_EQ(ErrorWith("/format_version", 2), "format_version: 2, expected 1");
  EXPECT_EQ(ErrorWith("/format_version", "1"), "format_version: expected an integer");
  EXPECT_EQ(ErrorWith("/env_id", 5), "env_id: expected a text");
  EXPECT_EQ(ErrorWith("/env_id", ""), "env_id: empty");
  EXPECT_EQ(ErrorWith("/env_options", nullptr), "env_options: expected an object");
  EXPECT_THAT(ErrorWith("/env_options/frame_skip", nullptr), HasSubstr("env_options.frame_skip: expected"));
  EXPECT_EQ(ErrorWith("/obs_dim", 3), "obs_dim: 3, expected 2 as the other keys have it");
  EXPECT_EQ(ErrorWith("/obs_dim", 18446744073709551615U), "obs_dim: expected an integer");
  EXPECT_EQ(ErrorWith("/act_dim", 2), "act_dim: 2, expected 1 as the other keys have it");
  EXPECT_THAT(ErrorWith("/action_low/0", 7.0), HasSubstr("action_low[0]: 7"));
  EXPECT_EQ(ErrorWith("/action_low/0", true), "action_low: expected a number");
  EXPECT_EQ(ErrorWith("/obs_mean", 1), "obs_mean: expected a list of numbers");
  EXPECT_EQ(ErrorWith("/obs_mean/0", 1e39), "obs_mean: 1e+39, expected a number within float32");
  EXPECT_EQ(ErrorWith("/obs_std/1", 0), "obs_std: expected every number above 0");
  EXPECT_EQ(ErrorWith("/obs_std", {1.0}), "obs_std: shape [1], expected [2]");
  EXPECT_EQ(ErrorWith("/layers", nlohmann::ordered_json::array()), "layers: empty, expected at least 1");
  EXPECT_EQ(ErrorWith("/layers/0", 1), "layers[0]: expected an object");
  EXPECT_EQ(ErrorWith("/layers/0/weight/2", {1.0}),
            "layers[0].weight: a row of 1 numbers, expected 2 as the first has");
  EXPECT_EQ(ErrorWith("/layers/0/bias", {1.0, 2.0}), "layers[0].bias: shape [2], expected [3]");
  EXPECT_THAT(ErrorWith("/layers/0/activation", "gelu"), HasSubstr("layers[0].activation: \"gelu\", expected relu"));
  EXPECT_EQ(ErrorWith("/layers/1/weight", {{1.0, 2.0}}), "layers[1].weight: shape [1, 2], expected [1, 3]");
  EXPECT_EQ(ErrorWith("/log_std/bias", {1.0, 2.0}), "log_std.bias: shape [2], expected [1]");
  EXPECT_THAT(ErrorWith("/log_std/low", 3), HasSubstr("log_std.low: 3"));
}

TEST_F(ReaderTest, RefusesUnknownMissingAndRepeatedKeys) {
  EXPECT_EQ(ErrorWith("/gamma", 0.99), "gamma: no such key");
  EXPECT_EQ(ErrorWith("/layers/1/gain", 1), "layers[1].gain: no such key");
  for (const auto& [key, value] : file_.items()) {
    if (key != "log_std") {
      nlohmann::ordered_json changed = file_;
      changed.erase(key);
      EXPECT_EQ(ErrorOfText(changed.dump()), path_.string() + ": " + key + ": missing");
    }
  }
  std::string twice = text_;
  twice.replace(twice.find("\"obs_dim\""), 9, "\"env_id\"");
  EXPECT_EQ(ErrorOfText(twice), path_.string() + ": env_id: given twice");
}

TEST_F(ReaderTest, TakesKeysInAnyOrder) {
  WriteText(path_, nlohmann::json::parse(text_).dump());  // sorted by name
  ExpectEqual(ReadPolicyJson(path_), [] {
    FrozenPolicy policy = MakePolicy(2, 1, {3}, 71);
    std::sort(policy.env_options.begin(), policy.env_options.end());
    return policy;
  }());
}

TEST_F(ReaderTest, RefusesWhatIsNoPolicyFile) {
  EXPECT_THAT(ErrorOfText(text_.substr(0, text_.size() / 2)), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOfText(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOfText("[1, 2]"), HasSubstr("expected an object"));
  EXPECT_THAT(ErrorOfText(std::string(1'000'000, '[')), HasSubstr("nested deeper"));
  std::string many = "{\"env_options\": {";
  for (int i = 0; i < 300; ++i) {
    many += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\": 1";
  }
  EXPECT_THAT(ErrorOfText(many + "}}"), HasSubstr("more than 256 keys"));
  EXPECT_THAT(ErrorOf<std::runtime_error>([&] { ReadPolicyJson(folder_ / "none.json"); }),
              HasSubstr("cannot read " + (folder_ / "none.json").string()));
  EXPECT_THAT(ErrorOf<std::runtime_error>([&] { ReadPolicyJson(folder_); }), HasSubstr("cannot read"));
  fs::resize_file(path_, (uintmax_t{128} << 20) + 1);
  EXPECT_THAT(ErrorOf<std::runtime_error>([&] { ReadPolicyJson(path_); }), HasSubstr("expected a policy of at most"));
}

// ---- Export ----

// What `policy` itself does at those observations: in float64 by its formula, written out here once more.
PolicyInUse InUse(const FrozenPolicy& policy, const torch::Tensor& obs) {
  torch::Tensor x = (obs.to(torch::kFloat64) - policy.obs_mean) / policy.obs_std;
  for (const FrozenLayer& layer : policy.layers) {
    x = torch::matmul(x, layer.weight.to(torch::kFloat64).t()) + layer.bias;
    x = layer.activation == "relu"   ? x.clamp_min(0)
        : layer.activation == "silu" ? x * torch::sigmoid(x)
        : layer.activation == "tanh" ? torch::tanh(x)
                                     : x;
  }
  const torch::Tensor low = torch::tensor(policy.action_low, torch::kFloat64);
  const torch::Tensor high = torch::tensor(policy.action_high, torch::kFloat64);
  return {.obs = obs, .actions = policy.Mean(obs), .exact_actions = low + (x + 1) / 2 * (high - low)};
}

// The same function with its first layer's units in another order.
FrozenPolicy Reordered(const FrozenPolicy& policy) {
  FrozenPolicy other = policy;
  const torch::Tensor order = torch::arange(policy.layers[0].bias.size(0) - 1, -1, -1);
  other.layers[0].weight = policy.layers[0].weight.index_select(0, order);
  other.layers[0].bias = policy.layers[0].bias.index_select(0, order);
  other.layers[1].weight = policy.layers[1].weight.index_select(1, order);
  return other;
}

// A policy whose weights have grown, as those of long runs do.
FrozenPolicy LargePolicy() {
  FrozenPolicy policy = MakePolicy(300, 17, {256, 256}, 83, {"relu"});
  for (FrozenLayer& layer : policy.layers) {
    layer.weight = layer.weight * 5;
    layer.bias = layer.bias * 5;
  }
  return policy;
}

TEST_F(ExportTest, ExportWritesBothFilesAndReplacesOldOnes) {
  const FrozenPolicy policy = MakePolicy(9, 2, {32, 32}, 81);
  WriteText(folder_ / "policy.pt", "old");
  WriteText(folder_ / "policy.json", "old");
  ExportPolicy(policy, InUse(policy, Observations(policy, 1000)), folder_ / "policy.pt", folder_ / "policy.json");
  EXPECT_THAT(Files(), testing::ElementsAre("policy.json", "policy.pt"));
  ExpectEqual(ReadPolicyJson(folder_ / "policy.json"), policy);
  EXPECT_TRUE(ReadText(folder_ / "policy.pt").starts_with("PK"));
}

class ExportCheckTest : public ExportTest {
 protected:
  // What the export of `policy` says, beside a policy in use that `change` made another one of.
  std::string Refusal(const FrozenPolicy& policy, const FrozenPolicy& used,
                      const std::function<void(PolicyInUse&)>& change = nullptr) const {
    PolicyInUse in_use = InUse(used, Observations(policy, 1000));
    if (change) {
      change(in_use);
    }
    return ErrorOf<std::runtime_error>(
        [&] { ExportPolicy(policy, in_use, folder_ / "policy.pt", folder_ / "policy.json"); });
  }
  const FrozenPolicy policy_ = MakePolicy(9, 2, {32, 32}, 82);
};

TEST_F(ExportCheckTest, APolicyInUseThatDiffersIsRefusedAndNothingIsLeftBehind) {
  EXPECT_EQ(Refusal(policy_, policy_, [](PolicyInUse& in_use) { in_use.exact_actions[437][1] += 1e-7; }).substr(0, 160),
            ("the policy in " + (folder_ / "policy.pt").string() +
             " would not be the one in use: of its actions in float64 dimension 1 is off by ")
                .substr(0, 160));
  EXPECT_THAT(Refusal(policy_, policy_, [](PolicyInUse& in_use) { in_use.exact_actions[437][1] = std::nan(""); }),
              HasSubstr("in float64 dimension 1 is off by nan"));
  EXPECT_THAT(Refusal(policy_, policy_, [](PolicyInUse& in_use) { in_use.actions[437][0] = std::nanf(""); }),
              HasSubstr("in float32 dimension 0 is off by nan"));
  EXPECT_THAT(Files(), testing::IsEmpty());
}

TEST_F(ExportCheckTest, APolicyInUseOfAnotherArithmeticIsRefused) {
  const auto coarse = [](PolicyInUse& in_use) { in_use.actions = (in_use.actions * 4).round() / 4; };
  EXPECT_THAT(Refusal(policy_, policy_, coarse), HasSubstr("in float32 dimension 0 is off by 0.0"));
}

// An actor whose weights have grown, as those of long runs do: sums in another order differ by more than any fixed
// bound on float32 numbers would allow.
TEST_F(ExportCheckTest, LargeWeightsInAnotherOrderAreTheSamePolicy) {
  const FrozenPolicy large = LargePolicy();
  const PolicyInUse in_use = InUse(large, Observations(large, 1000));
  EXPECT_GT((in_use.actions - in_use.exact_actions).abs().max().item<double>(), 1e-4);
  EXPECT_EQ(Refusal(large, Reordered(large)), "no error");
}

TEST_F(ExportCheckTest, OneOfTheLargeWeightsThatDiffersInItsLastBitsIsFound) {
  const FrozenPolicy large = LargePolicy();
  for (const size_t layer : {size_t{0}, size_t{1}, size_t{2}}) {
    FrozenPolicy other = large;
    other.layers[layer].weight = large.layers[layer].weight.clone();
    other.layers[layer].weight[3][5] *= 1 + 1e-5;
    EXPECT_THAT(Refusal(large, Reordered(other)), HasSubstr("in float64")) << layer;
  }
}

TEST_F(ExportCheckTest, AnActorOfLargeWeightsIsExportedAndActsAsItsWeightsSay) {
  const EnvRegistry envs = BuiltinEnvs();
  EnvConfig env(envs);
  ConfigDocument::FromText("id: Humanoid-v5", "env").ReadInto(Fields::Of(env));
  const EnvSpec spec = env.maker.make()->spec();
  GaussianActor actor(spec.obs_dim(), spec.act_dim(), {.hidden = {256, 256}}, Rng(3), torch::kCPU);
  actor.parameters().values().mul_(5);
  ExportActor(actor, spec, env, folder_ / "policy.pt");
  const FrozenPolicy read = ReadPolicyJson(folder_ / "policy.json");
  const torch::Tensor obs = Observations(read, 50);
  const EnsembleMlp& mlp = actor.mlp();
  torch::Tensor x = obs.to(torch::kFloat64);
  for (size_t l = 0; l < 3; ++l) {
    x = torch::matmul(x, mlp.weights()[l][0].to(torch::kFloat64)) + mlp.biases()[l][0];
    x = l < 2 ? x.clamp_min(0) : x;
  }
  const torch::Tensor expected = torch::tanh(x.slice(1, 0, spec.act_dim())) * spec.action_high[0];
  EXPECT_TRUE(torch::allclose(InUse(read, obs).exact_actions, expected, 1e-9, 1e-12));
}

// An actor that sees observations in other units, of SiLUs, whose head is its standard deviation's.
TEST_F(ExportCheckTest, AnActorWithItsUnitsAndAStdHeadIsExported) {
  const EnvRegistry envs = BuiltinEnvs();
  EnvConfig env(envs);
  ConfigDocument::FromText("id: Pendulum-v1", "env").ReadInto(Fields::Of(env));
  const EnvSpec spec = env.maker.make()->spec();
  Normalizer normalizer(spec.obs_dim(), torch::kCPU);
  GaussianActor actor(
      spec.obs_dim(), spec.act_dim(),
      {.hidden = {16, 8}, .activation = Activation::kSilu, .std = ActorStd::kSoftplus, .orthogonal = true}, Rng(3),
      torch::kCPU, normalizer);
  normalizer.Fit(torch::randn({200, spec.obs_dim()}) * 3 + 1);
  const torch::NoGradGuard no_grad;
  actor.parameters().values().add_(0.2 * torch::randn(actor.parameters().values().sizes()));
  ExportActor(actor, spec, env, folder_ / "policy.pt");
  const FrozenPolicy read = ReadPolicyJson(folder_ / "policy.json");
  EXPECT_FALSE(read.log_std);
  ASSERT_TRUE(read.std_head);
  EXPECT_TRUE(torch::equal(read.obs_mean, normalizer.mean()));
  EXPECT_EQ(read.layers.front().activation, "silu");

  const torch::Tensor obs = torch::randn({1, spec.obs_dim()}) * 3 + 1;
  const EnsembleMlp& mlp = actor.mlp();
  torch::Tensor x = (obs - normalizer.mean()) / normalizer.std();
  for (size_t l = 0; l < 3; ++l) {
    x = torch::matmul(x, mlp.weights()[l][0]) + mlp.biases()[l][0];
    x = l < 2 ? x * torch::sigmoid(x) : x;
  }
  const double mean = x[0][0].item<double>();
  const double std = std::log1p(std::exp(x[0][1].item<double>())) + 1e-5;
  EXPECT_NEAR(read.Mean(obs).item<double>(), spec.action_high[0] * std::tanh(mean), 1e-5);
  // Draws of the file and of the actor itself: u = atanh(a / high) has that mean and deviation.
  torch::jit::Module module = torch::jit::load((folder_ / "policy.pt").string());
  torch::Generator generator = MakeGenerator(Rng(4), torch::kCPU);
  const torch::Tensor many = obs.expand({20'000, spec.obs_dim()}).contiguous();
  for (const torch::Tensor& action : {module.get_method("sample")({many}).toTensor() / spec.action_high[0],
                                      actor.Act({.obs = many}, nullptr, ActMode::kSample, generator),
                                      actor.Sample(many, torch::randn({20'000, 1}, generator)).action}) {
    const torch::Tensor u = torch::atanh(action.to(torch::kFloat64).clamp(-1 + 1e-7, 1 - 1e-7));
    EXPECT_NEAR(u.mean().item<double>(), mean, 0.04 * std);
    EXPECT_NEAR(u.std().item<double>(), std, 0.04 * std);
  }
}

// An actor without a standard deviation is its mean alone, whoever asks.
TEST_F(ExportCheckTest, ADeterministicActorIsExported) {
  const EnvRegistry envs = BuiltinEnvs();
  EnvConfig env(envs);
  ConfigDocument::FromText("id: Pendulum-v1", "env").ReadInto(Fields::Of(env));
  const EnvSpec spec = env.maker.make()->spec();
  GaussianActor actor(spec.obs_dim(), spec.act_dim(), {.hidden = {16, 8}, .std = ActorStd::kNone}, Rng(3), torch::kCPU);
  ExportActor(actor, spec, env, folder_ / "policy.pt");
  const FrozenPolicy read = ReadPolicyJson(folder_ / "policy.json");
  EXPECT_FALSE(read.log_std || read.std_head);
  const torch::Tensor obs = torch::randn({50, spec.obs_dim()});
  const torch::Tensor expected = spec.action_high[0] * actor.Sample(obs, {}).action.detach();
  EXPECT_TRUE(torch::allclose(read.Mean(obs), expected, 1e-5, 1e-6));
  torch::jit::Module module = torch::jit::load((folder_ / "policy.pt").string());
  EXPECT_TRUE(torch::allclose(module.get_method("sample")({obs}).toTensor(), expected, 1e-5, 1e-6));
}

TEST_F(ExportCheckTest, ARefusedExportKeepsTheOldFiles) {
  WriteText(folder_ / "policy.pt", "old");
  WriteText(folder_ / "policy.json", "old too");
  EXPECT_THAT(Refusal(policy_, MakePolicy(9, 2, {32, 32}, 84)), HasSubstr("would not be the one in use"));
  EXPECT_EQ(ReadText(folder_ / "policy.pt"), "old");
  EXPECT_EQ(ReadText(folder_ / "policy.json"), "old too");
  EXPECT_THAT(Files(), testing::ElementsAre("policy.json", "policy.pt"));
}

// ---- Options ----

TEST(EnvOptionsOf, ListsPresentValuesInOrder) {
  struct Options {
    double weight = 1;
    bool flag = true;
    int64_t skip = 5;
    std::array<double, 2> range{0.7, std::numeric_limits<double>::infinity()};
    std::optional<double> none;
    std::string file = "half_cheetah.xml";
    void Visit(Fields& fields) {
      fields("weight", weight, "");
      fields("flag", flag, "");
      fields("skip", skip, "");
      fields("range", range, "");
      fields("none", none, "");
      fields("file", file, "");
    }
  };
  Options options;
  options.weight = 0.5;
  EXPECT_EQ(EnvOptionsOf(Fields::Of(options)),
            (EnvOptions{{"weight", 0.5},
                        {"flag", true},
                        {"skip", int64_t{5}},
                        {"range", std::vector<double>{0.7, std::numeric_limits<double>::infinity()}},
                        {"file", std::string("half_cheetah.xml")}}));
}

}  // namespace
}  // namespace reverie
